import json

bind = "0.0.0.0:8080"
workers = 2
worker_class = "sync"
errorlog = "-"
accesslog = "-"

_FIELDS = {
    "remote_ip": "%(h)s",
    "request_id": "%({X-Request-Id}i)s",
    "response_code": "%(s)s",
    "request_method": "%(m)s",
    "request_path": "%(U)s",
    "request_querystring": "%(q)s",
    "request_timetaken": "%(D)s",
    "response_length": "%(B)s",
    "content_type": "%({Content-Type}o)s",
}
access_log_format = json.dumps(_FIELDS)
log_format = "%(asctime)s %(message)s"
