#!/usr/bin/env python3
"""A reference participant for layerd's two-phase commit, in Python without dependencies.

    python3 examples/participant.py JOURNAL [PORT]

It prints the port it listens on, and keeps feature flags: a transaction's payload is
{"set": {"flag": value, ...}}. examples/participant.ts is the same service in TypeScript and
says what makes a participant correct; the numbers below are the rules there.
"""
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

journal_path = sys.argv[1] if len(sys.argv) > 1 else "participant.journal"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 0

mutex = threading.Lock()
flags = {}
branches = {}
locked_by = {}


def apply(key, branch):
    """Takes a step of a branch into memory: at the start from the journal, later after it."""
    before = branches.get(key)
    if before and before["state"] == "prepared":
        for flag in before["set"]:
            locked_by.pop(flag, None)
        if branch["state"] == "committed":
            flags.update(before["set"])
    branches[key] = branch
    if branch["state"] == "prepared":
        for flag in branch["set"]:
            locked_by[flag] = key


def record(key, branch):
    """Durable first, then in memory: rule 1."""
    journal.write((json.dumps({"key": key, "branch": branch}) + "\n").encode())
    journal.flush()
    os.fsync(journal.fileno())
    apply(key, branch)


def replay():
    """A line that a crash cut off was never answered: it is taken out again."""
    with open(journal_path, "ab+") as file:
        file.seek(0)
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            file.truncate(len(whole))
    for line in whole.splitlines():
        entry = json.loads(line)
        apply(entry["key"], entry["branch"])


def prepare(key, payload):
    branch = branches.get(key)
    if branch and branch["state"] == "aborted":  # rule 4
        return 200, {"vote": "abort", "reason": "It was aborted before"}
    if branch:  # rule 3
        return 200, {"vote": "prepared", "resource_locks": list(branch.get("set", {}))}
    wanted = (payload or {}).get("set", {})
    if not wanted:
        return 200, {"vote": "read_only"}
    for flag in wanted:  # rule 2
        if flag in locked_by:
            return 200, {"vote": "abort", "reason": f"Flag {flag} is locked by {locked_by[flag]}"}
    record(key, {"state": "prepared", "set": wanted})
    return 200, {"vote": "prepared", "resource_locks": list(wanted)}


def commit(key, _payload):
    branch = branches.get(key)
    if branch is None or branch["state"] == "aborted":  # rule 5
        return 409, {"error": f"The branch is {branch['state'] if branch else 'unknown'}"}
    if branch["state"] == "committed":  # rule 3
        return 200, {"resources_updated": []}
    record(key, {"state": "committed"})
    return 200, {"resources_updated": list(branch["set"])}


def abort(key, _payload):
    branch = branches.get(key)
    if branch and branch["state"] == "committed":  # rule 5
        return 409, {"error": "The branch is committed"}
    if branch is None or branch["state"] == "prepared":  # rule 4
        record(key, {"state": "aborted"})
    return 200, {"resources_released": list(branch.get("set", {})) if branch else []}


VERBS = {"/prepare": prepare, "/commit": commit, "/abort": abort}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with mutex:
            if self.path == "/flags":
                self.answer(200, flags)
            elif self.path == "/branches":
                held = [key for key, branch in branches.items() if branch["state"] == "prepared"]
                self.answer(200, {"prepared": held})
            else:
                self.answer(404, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        verb = VERBS.get(self.path)
        if verb is None or not isinstance(body.get("idempotency_key"), str):
            return self.answer(404 if verb is None else 400, {})
        with mutex:
            status, answer = verb(body["idempotency_key"], body.get("payload"))
        self.answer(status, answer)

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        try:
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            pass  # layerd has given up waiting; it asks again, or has aborted

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the usual 5 a busy moment costs callers a second


replay()
journal = open(journal_path, "ab")
server = Server(("127.0.0.1", port), Handler)
print(server.server_port, flush=True)
server.serve_forever()
