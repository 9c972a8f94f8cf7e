//! The strings of scopes and events, made once.

use crate::names::interned;

interned! {
    /// The strings of scopes and events.
    Names {
        type_ = "type";
        asgi = "asgi";
        http_version = "http_version";
        method = "method";
        scheme = "scheme";
        path = "path";
        raw_path = "raw_path";
        query_string = "query_string";
        root_path = "root_path";
        headers = "headers";
        client = "client";
        server = "server";
        state = "state";
        extensions = "extensions";
        version = "version";
        spec_version = "spec_version";
        http = "http";
        https = "https";
        v10 = "1.0";
        v11 = "1.1";
        v2 = "2";
        http_request = "http.request";
        http_disconnect = "http.disconnect";
        body = "body";
        more_body = "more_body";
        status = "status";
        trailers = "trailers";
        websocket = "websocket";
        ws = "ws";
        wss = "wss";
        subprotocols = "subprotocols";
        websocket_connect = "websocket.connect";
        websocket_receive = "websocket.receive";
        websocket_disconnect = "websocket.disconnect";
        denial = "websocket.http.response";
        text = "text";
        bytes = "bytes";
        code = "code";
        reason = "reason";
        pathsend = "http.response.pathsend";
        zerocopysend = "http.response.zerocopysend";
        early_hint = "http.response.early_hint";
        response_trailers = "http.response.trailers";
        done = "done";
        cancel = "cancel";
        exception = "exception";
        set_result = "set_result";
        set_exception = "set_exception";
        add_done_callback = "add_done_callback";
        copy = "copy";
        receive = "receive";
        send = "send";
        ended = "ended";
    }
}
