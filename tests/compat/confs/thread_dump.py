"""Shows where all threads are when a worker is interrupted or aborted."""

import sys
import threading
import traceback

bind = "0.0.0.0:8000"
workers = 2
threads = 4
timeout = 90


def _dump(worker):
    id2name = {th.ident: th.name for th in threading.enumerate()}
    code = []
    for thread_id, stack in sys._current_frames().items():
        code.append("\n# Thread: {}({})".format(id2name.get(thread_id, ""), thread_id))
        for filename, lineno, name, line in traceback.extract_stack(stack):
            code.append(f'File: "{filename}", line {lineno}, in {name}')
            if line:
                code.append("  " + line.strip())
    worker.log.warning("\n".join(code))


def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")
    _dump(worker)


def worker_abort(worker):
    worker.log.info("worker received SIGABRT signal")
    _dump(worker)
