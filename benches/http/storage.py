"""Where the caches keep their data: a directory on a disk, if possible on a file system of its own.

ext4 does not use an inode again for about a minute after its file was deleted, and searches around those: while somebody
deletes many files on the same file system (a build, the end of the measurement before), each new file takes up to fifty times
as long. That is the price of one file an object, but it must not depend on who else is there.
"""

import contextlib
import os
import subprocess
import tempfile

from processes import Failure

# A file system in memory has no disk behind its pages.
IN_MEMORY = {"tmpfs", "ramfs"}
IMAGE_BYTES = 24 << 30


def kind_of(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"--data {path}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def directory(parent, own):
    """A directory below `parent`, and what it is. `own` asks for a file system of its own, which takes root."""
    kind = kind_of(parent)
    if kind in IN_MEMORY:
        raise Failure(f"--data {parent} is {kind}, in memory: name a directory on a disk")
    with tempfile.TemporaryDirectory(prefix="tiergate-bench-", dir=parent) as path:
        if not own:
            yield path, f"{parent} ({kind}, shared with others)"
            return
        image, mounted = os.path.join(path, "image"), os.path.join(path, "data")
        os.mkdir(mounted)
        with open(image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        run(["mkfs.ext4", "-q", "-F", image])
        run(["mount", "-o", "loop", image, mounted])
        try:
            yield mounted, f"an ext4 file system of its own in {parent} ({kind})"
        finally:
            run(["umount", mounted])


def sync(path):
    """Waits until all of the file system that has `path` is on its disk."""
    subprocess.run(["sync", "-f", path], check=True)


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip()}; --shared-file-system does without")
