"""Rivals that live in one process: MODE REPOSITORY SECONDS; microseconds of each commit out.

Every mode makes a blob, a tree with it, a commit on the last one, and moves refs/layers/bench.

  long_lived         git hash-object -w --stdin-paths, one for each type, and update-ref --stdin
  fast_import        git fast-import with a checkpoint for each commit
  fast_import_bulk   the same with one checkpoint at the end; prints the mean
  pygit2             libgit2
  pygit2_durable     libgit2 with core.fsyncObjectFiles
"""
import os
import subprocess
import sys
import tempfile
import time

REF = "refs/layers/bench"


def repeat(seconds, work):
    taken = []
    end = time.monotonic() + seconds
    number = time.time_ns()
    while True:
        before = time.monotonic()
        if before >= end:
            break
        number += 1
        work(number)
        taken.append(int((time.monotonic() - before) * 1e6))
    print("\n".join(map(str, taken)))


def current(repository):
    asked = ["git", "-C", repository, "rev-parse", "-q", "--verify", REF]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


def commit_body(tree, parent):
    who = "bench <bench@localhost> %d +0000" % time.time()
    parents = "parent %s\n" % parent if parent else ""
    return "tree %s\n%sauthor %s\ncommitter %s\n\nbench\n" % (tree, parents, who, who)


def long_lived(repository, seconds):
    fsync = ["-c", "core.fsync=committed,reference,loose-object"]

    def pipe(*arguments):
        command = ["git", "-C", repository, *fsync, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    hashers = {kind: pipe("hash-object", "-t", kind, "-w", "--stdin-paths", "--no-filters")
               for kind in ("blob", "tree", "commit")}
    refs = pipe("update-ref", "--stdin")
    handle, path = tempfile.mkstemp()

    def write(kind, content):
        os.ftruncate(handle, 0)
        os.pwrite(handle, content, 0)
        hasher = hashers[kind]
        hasher.stdin.write(path.encode() + b"\n")
        hasher.stdin.flush()
        return hasher.stdout.readline().decode().strip()

    state = {"parent": current(repository)}

    def work(number):
        blob = write("blob", b"value %d" % number)
        tree = write("tree", b"100644 file.txt\0" + bytes.fromhex(blob))
        commit = write("commit", commit_body(tree, state["parent"]).encode())
        old = state["parent"] or "0" * 40
        refs.stdin.write(("start\nupdate %s %s %s\ncommit\n" % (REF, commit, old)).encode())
        refs.stdin.flush()
        for expected in (b"start: ok\n", b"commit: ok\n"):
            if refs.stdout.readline() != expected:
                raise SystemExit("update-ref refused")
        state["parent"] = commit

    repeat(seconds, work)
    os.unlink(path)
    for child in [*hashers.values(), refs]:
        child.stdin.close()
        child.wait()


def import_stream(repository):
    command = ["git", "-C", repository, "-c", "core.fsync=all", "fast-import", "--quiet"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def imported(number, parent):
    content = b"value %d" % number
    start = b"from %s\n" % parent.encode() if parent else b""
    return (b"commit %s\ncommitter bench <bench@localhost> %d +0000\ndata 5\nbench\n%s"
            b"M 644 inline file.txt\ndata %d\n%s\n\n"
            % (REF.encode(), time.time(), start, len(content), content))


def fast_import(repository, seconds):
    child = import_stream(repository)
    state = {"parent": current(repository)}

    def work(number):
        child.stdin.write(imported(number, state["parent"]) + b"checkpoint\n\nprogress done\n\n")
        child.stdin.flush()
        if not child.stdout.readline():
            raise SystemExit("fast-import ended")
        state["parent"] = ""

    repeat(seconds, work)
    child.stdin.close()
    child.wait()


def fast_import_bulk(repository, seconds):
    child = import_stream(repository)
    parent = current(repository)
    before = time.monotonic()
    count = 0
    while time.monotonic() < before + seconds:
        child.stdin.write(imported(time.time_ns(), parent))
        parent = ""
        count += 1
    child.stdin.close()
    child.wait()
    each = int((time.monotonic() - before) / count * 1e6)
    print("\n".join([str(each)] * count))


def libgit2(repository, seconds, durable):
    import pygit2

    store = pygit2.Repository(repository)
    store.config["core.fsyncObjectFiles"] = durable
    store = pygit2.Repository(repository)
    who = pygit2.Signature("bench", "bench@localhost")
    state = {"parent": current(repository)}

    def work(number):
        builder = store.TreeBuilder()
        builder.insert("file.txt", store.create_blob(b"value %d" % number), 0o100644)
        parents = [state["parent"]] if state["parent"] else []
        state["parent"] = store.create_commit(REF, who, who, "bench", builder.write(), parents)

    repeat(seconds, work)


def main():
    mode, repository, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    modes = {"long_lived": long_lived, "fast_import": fast_import,
             "fast_import_bulk": fast_import_bulk,
             "pygit2": lambda path, time: libgit2(path, time, False),
             "pygit2_durable": lambda path, time: libgit2(path, time, True)}
    modes[mode](repository, seconds)


main()
