"""A client of Skein's Redis store, written from docs/PROTOCOL.md with Python's standard library alone: about what a client in any
language comes to.  Enqueues, schedules, looks, waits, cancels.  It keeps one connection, for one thread.

    skein = Skein("redis://127.0.0.1:6379/0", "/usr/local/share/skein/redis")
    job = skein.enqueue("email.welcome", ["ada"], delay=10, retries=5)
    print(skein.wait(job, 30)["result"])
"""
import hashlib, io, json, os, pathlib, socket, time, urllib.parse

FORMAT = b"1"
STORE_KEYS = """head jobs held leases engines queues counts notes done dead cancelled kept fences stops logs locks expires bounds groups lines
    places ring tokens""".split()
QUEUE_KEYS = "later front tombstones ready:0 ready:1 ready:2 ready:3 ready:4".split()
STATES = {"r": "ready", "f": "ready", "g": "ready", "s": "scheduled", "t": "retry", "d": "done", "x": "dead", "c": "cancelled"}
FIELDS = """id:text task:text queue:text args:json meta:json priority:zigzag enqueued_ms retries timeout_ms keep_ms expires_ms keep_dead
    backoff:text retry_queue:text on_success:bytes on_error:bytes immutable attempts crashes unknowns recoveries error_kind error:text
    traceback:text started_ms finished_ms result:json unique:text limit:text history:text log:text""".split()
FIELDS = {tag: (field + ":number").split(":")[:2] for tag, field in enumerate(FIELDS, 1)}
TAGS = {name: tag for tag, (name, _) in FIELDS.items()}


class Refused(Exception):
    """A job was not added: its lock is `holder`'s, or (None) its queue is full."""

    def __init__(self, id, holder):
        super().__init__(f"job {id} is refused: " + (f"its lock is job {holder}'s" if holder else "its queue is full"))
        self.holder = holder


class Redis:
    """One connection: commands out, replies in (RESP 2)."""

    def __init__(self, url):
        url = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((url.hostname, url.port or 6379), 5)
        self.replies = self.socket.makefile("rb")
        if url.password:
            self.call("AUTH", *filter(None, [url.username]), url.password)
        self.call("SELECT", url.path.strip("/") or 0)

    def call(self, *args):
        args = [a if isinstance(a, bytes) else str(a).encode() for a in args]
        self.socket.sendall(b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in args))
        return self.reply()

    def reply(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def close(self):
        self.replies.close()
        self.socket.close()


class Skein:
    def __init__(self, url, scripts, prefix="skein"):
        self.url, self.prefix, self.word, self.redis = url, prefix, new_id(), Redis(url)
        self.scripts = {path.stem: path.read_bytes() for path in pathlib.Path(scripts).glob("*.lua")}
        found = self.run("open", [], FORMAT, 0)
        if found != FORMAT:
            raise RuntimeError(f"the store is written in format {found.decode()}, this client knows format {FORMAT.decode()}")

    def key(self, name):
        return f"{{{self.prefix}}}:{name}"

    def run(self, script, queues, *args):
        keys = [self.key(name) for name in STORE_KEYS] + [self.key(f"{name}:{queue}") for queue in queues for name in QUEUE_KEYS]
        rest = [len(keys), *keys, "", self.word, self.key("wake"), "", 0, len(queues), *queues, *args]
        try:
            return self.redis.call("EVALSHA", hashlib.sha1(self.scripts[script]).hexdigest(), *rest)
        except RuntimeError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return self.redis.call("EVAL", self.scripts[script], *rest)

    def now_ms(self):
        """What Redis' clock says: this machine's may be wrong."""
        seconds, us = self.redis.call("TIME")
        return int(seconds) * 1000 + int(us) // 1000

    def enqueue(self, task, args=(), **options):
        """The new job's id.  Options: id, queue, priority, delay, at or expires (seconds), meta, and the record's own (retries, keep_ms, unique, ...)."""
        job = {"task": task, "args": args, **options}
        added = self.enqueue_many([job])[0]
        if isinstance(added, Refused):
            raise added
        if not added:
            raise FileExistsError(f"job {job['id']} is in the store already")
        return job["id"]

    def enqueue_many(self, jobs):
        """Adds up to 1,000 jobs in one step, gives each its id, and says of each whether it was new; Refused: by its lock or queue."""
        declared, queues, adds, now = {}, [], [], self.now_ms()
        if not all("queue" in job and "priority" in job for job in jobs):
            pairs = iter(self.redis.call("HGETALL", self.key("tasks")))
            declared = {task.decode(): value.decode().split(":", 1) for task, value in zip(pairs, pairs)}
        for job in jobs:
            if unknown := job.keys() - TAGS.keys() - {"delay", "at", "expires"}:
                raise TypeError(f"job {job['task']}: unknown option {unknown.pop()}")
            priority, queue = declared.get(job["task"], ("0", "default"))
            job.update({"id": new_id(), "queue": queue, "priority": int(priority), **job})
            if job["queue"] not in queues:
                queues.append(job["queue"])
            rank, due = 2 - job["priority"], ""
            if "delay" in job or "at" in job:
                due = f"+{round(job['delay'] * 1000)}" if "delay" in job else f"@{round(job['at'] * 1000)}"
            queue, task = job["queue"].encode(), job["task"].encode()
            if "expires" in job:
                job["expires_ms"] = now + round(job.pop("expires") * 1000)
            record = write_record({"enqueued_ms": now, **job})
            value = b"r%d%c%b%c%b%b" % (rank, len(queue), queue, len(task), task, record)
            tied = "unique" in job or "limit" in job
            adds += [f"{queues.index(job['queue']) * 5 + rank + 1}{due}{'*' * tied}", 1, job["id"], value]
            adds += [job.get("unique", ""), job.get("limit", "")] if tied else []
        said = self.run("enqueue", queues, 1, *adds)
        if isinstance(said, list) and said[0] == -1:
            queues += [queue for queue in map(bytes.decode, said[1]) if queue and queue not in queues]
            said = self.run("enqueue", queues, 1, *adds)
        said, holders = (said[0], iter(said[1])) if isinstance(said, list) else (said, iter(()))
        says = {b"1": lambda id: False, b"2": lambda id: Refused(id, next(holders).decode()), b"3": lambda id: Refused(id, None)}
        return [says.get(said[i:i + 1], lambda id: True)(job["id"]) for i, job in enumerate(jobs)]

    def get(self, id):
        """The job as it is now: its state (None: it is not there) and the fields of its record."""
        _, [value], [hold], [note], log, stop, _ = self.run("get", [], id)
        if value is None:
            return {"id": id, "state": None}
        queue = 2 if value[:1] == b"r" else 18
        task = queue + 1 + value[queue]
        job = {**read_record(value[task + 1 + value[task]:]), "state": "running" if hold else STATES[chr(value[0])]}
        if hold and any(log):
            job["log"] = job.get("log", "") + log[0].decode()
        if any(stop):
            job["stopping"] = True
        return {**job, "progress": note.decode().split(":", 1)} if note else job

    def wait(self, id, timeout):
        """The job as it is at its end, or when the time is over.  Sleeps until there is news, without polling."""
        until, wakes = time.monotonic() + timeout, Redis(self.url)
        wakes.call("SUBSCRIBE", self.key("wake"))
        try:
            while (job := self.get(id))["state"] not in (None, "done", "dead", "cancelled") and time.monotonic() < until:
                wakes.socket.settimeout(max(until - time.monotonic(), 0.001))
                wakes.reply()
            return job
        except TimeoutError:
            return self.get(id)
        finally:
            wakes.close()

    def cancel(self, id, keep=3600):
        """"cancelled" (one that runs is told to stop), or why not: "not found", "too late"."""
        queues = []
        while (reply := self.run("change", queues, 0, keep * 1000, 0, "", "", id))[0] == -1:
            queues = [queue.decode() for queue in reply[1] if queue]
        return ["cancelled", "not found", "too late"][int(reply[1])]


def new_id():
    """A ULID: 48 bits of milliseconds, 80 random ones."""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> shift & 31] for shift in range(125, -1, -5))


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def write_record(job):
    out = b"S\x01"
    for tag, (name, kind) in FIELDS.items():
        if name not in job:
            continue
        value = job[name]
        if kind == "json":
            value = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if kind in ("json", "text"):
            value = value.encode("utf-8", "surrogateescape")
        elif kind != "bytes":
            value = (value << 1) ^ (value >> 31) if kind == "zigzag" else value
            value = value.to_bytes((value.bit_length() + 7) // 8, "little")
        out += varint(tag) + varint(len(value)) + value
    return out


def read_record(record):
    if record[:2] != b"S\x01":
        raise ValueError(f"not a record of version 1: {record[:2]!r}")
    job, rest = {}, io.BytesIO(record[2:])

    def number():
        n = shift = 0
        while byte := rest.read(1):
            n, shift = n | (byte[0] & 127) << shift, shift + 7
            if byte[0] < 128:
                return n

    while (tag := number()) is not None:
        value = rest.read(number())
        name, kind = FIELDS.get(tag, (tag, "unknown"))
        if kind in ("json", "text"):
            value = value.decode("utf-8", "surrogateescape")
            value = json.loads(value) if kind == "json" else value
        elif kind not in ("unknown", "bytes"):
            value = int.from_bytes(value, "little")
            value = (value >> 1) ^ -(value & 1) if kind == "zigzag" else value
        job[name] = value
    return job
