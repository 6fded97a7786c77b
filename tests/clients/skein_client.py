#!/usr/bin/env python3
"""A client of Skein's Redis store, written from docs/PROTOCOL.md alone: enqueue, schedule, cancel, read results.

    skein_client.py SOCKET SCRIPTS enqueue TASK JSON-ARGS [DELAY-MS]     prints the id
    skein_client.py SOCKET SCRIPTS show ID                               prints {"state":, "result":} or null
    skein_client.py SOCKET SCRIPTS cancel ID                             prints true or false
"""
import hashlib, json, os, pathlib, re, socket, sys, time

STORE_KEYS = "head jobs held leases engines queues counts notes done dead cancelled kept".split()
QUEUE_KEYS = "later front ghosts ready:0 ready:1 ready:2 ready:3 ready:4".split()
STATES = {"r": "ready", "f": "ready", "s": "scheduled", "t": "retry", "d": "done", "x": "dead", "c": "cancelled"}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Redis:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def call(self, *args):
        args = [a if isinstance(a, bytes) else str(a).encode() for a in args]
        self.socket.sendall(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args))
        return self.reply()

    def reply(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"+":
            return rest
        n = int(rest)
        if kind == b":":
            return n
        if n < 0:
            return None
        return self.file.read(n + 2)[:-2] if kind == b"$" else [self.reply() for _ in range(n)]


class Skein:
    def __init__(self, redis, scripts, prefix="skein"):
        self.redis, self.scripts, self.prefix, self.queues = redis, pathlib.Path(scripts), prefix, []
        assert redis.call("HGET", self.key("head"), "format") in (None, b"1"), "a newer version's store"

    def key(self, name):
        return "{%s}:%s" % (self.prefix, name)

    def script(self, name, queues, *args):
        lines = []
        for line in (self.scripts / f"{name}.lua").read_text().splitlines():
            include = re.match(r"-- include (\w+)$", line)
            lines += (self.scripts / "lib" / f"{include[1]}.lua").read_text().splitlines() if include else [line]
        text = "\n".join(lines)
        keys = [self.key(k) for k in STORE_KEYS] + [self.key(f"{k}:{q}") for q in queues for k in QUEUE_KEYS]
        call = [len(keys), *keys, "", "python", self.key("wake"), "", 0, len(queues), *queues, *args]
        try:
            return self.redis.call("EVALSHA", hashlib.sha1(text.encode()).hexdigest(), *call)
        except RuntimeError as err:
            if not str(err).startswith("NOSCRIPT"):
                raise
            return self.redis.call("EVAL", text, *call)

    def with_all_queues(self, name, *args):
        while True:  # the script says which queues there are when it was not given all
            reply = self.script(name, self.queues, *args)
            if not (isinstance(reply, list) and reply[0] == -1):
                return reply
            self.queues = [q.decode() for q in reply[1] if q]

    def enqueue(self, task, args, queue="default", priority=0, delay_ms=0):
        now, random = int(time.time() * 1000), int.from_bytes(os.urandom(10), "big")
        number = now << 80 | random
        job_id = "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
        fields = [(1, job_id.encode()), (2, task.encode()), (3, queue.encode()), (4, json.dumps(args).encode()), (7, now.to_bytes(8, "little").rstrip(b"\0"))]
        record = b"S\1" + b"".join(varint(tag) + varint(len(value)) + value for tag, value in fields)
        rank = 2 - priority
        value = b"r%d%c%s%c%s%s" % (rank, len(queue), queue.encode(), len(task), task.encode(), record)
        where = f"{rank + 1}+{delay_ms}" if delay_ms else rank + 1
        assert self.script("enqueue", [queue], 0, where, 1, job_id, value) == b""
        return job_id

    def show(self, job_id):
        _, (value,), (hold,), _ = self.script("get", [], job_id)
        if value is None:
            return None
        code, at = chr(value[0]), 1 if value[:1] == b"r" else 17
        queue_end = at + 2 + value[at + 1]
        fields = read_record(value[queue_end + 1 + value[queue_end]:])
        return {"state": "running" if hold else STATES[code], "result": json.loads(fields[27]) if 27 in fields else None}

    def cancel(self, job_id, keep_ms=60000):
        return self.with_all_queues("change", 0, keep_ms, 0, "", "", job_id)[1] == b"0"


def varint(v):
    return bytes([v]) if v < 128 else bytes([v & 127 | 128]) + varint(v >> 7)


def read_record(record):
    assert record[:2] == b"S\1"
    fields, at = {}, 2

    def number():
        nonlocal at
        v = shift = 0
        while True:
            byte = record[at]
            at += 1
            v |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return v

    while at < len(record):
        tag, n = number(), number()
        fields[tag], at = record[at:at + n], at + n
    return fields


if __name__ == "__main__":
    skein = Skein(Redis(sys.argv[1]), sys.argv[2])
    verb, *args = sys.argv[3:]
    if verb == "enqueue":
        print(skein.enqueue(args[0], json.loads(args[1]), delay_ms=int(args[2]) if len(args) > 2 else 0))
    else:
        print(json.dumps(getattr(skein, verb)(args[0])))
