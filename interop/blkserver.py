"""A blk-server process, as the suites need it; see docs/interop.md.

As a program: blkserver.py SIZE COMMAND... serves an empty image of that size and runs a command that finds $uri_tcp, $uri_unix and $image.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


class BlkServer:
    """One volume, until stop() or the end of a with block."""

    def __init__(self, image, listen, *options, readonly=False, export="disk", create=""):
        self.data = tempfile.mkdtemp(prefix="vmft-interop-")
        volume = f"{export}={os.path.abspath(image)}" + (",readonly" if readonly else "")
        volume += f",create={create}" if create else ""
        command = [
            os.path.join(HOME, "vmft"), "blk-server", "--data", self.data, "--control", "127.0.0.1:0",
            "--volume", volume, *options,
        ]
        for address in listen:
            command += ["--listen", address]
        # A session of its own: what a test sends to its process group is not for the server. Nor is the server's log for a test that
        # compares what it sees, word by word.
        with open(os.environ.get("VMFT_INTEROP_LOG", os.devnull), "a") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        self.ready = self.process.stdout.readline().decode()
        if not self.ready.startswith("ready "):
            self.stop()
            sys.exit(f"blk-server did not start; its log: {log.name}")

    def uri(self, scheme):
        """Of the volume, at the address of that scheme."""
        return [word for word in self.ready.split() if word.startswith(scheme + ":")][-1]

    def stop(self):
        """Ends it in order."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            sys.exit("blk-server did not end on SIGTERM")
        finally:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def main():
    size, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="vmft-interop-") as folder:
        image = os.path.join(folder, "image")
        listen = ["127.0.0.1:0", f"unix:{folder}/socket"]
        with BlkServer(image, listen, create=size) as server:
            found = {"image": image, "uri_tcp": server.uri("nbd"), "uri_unix": server.uri("nbd+unix")}
            status = subprocess.run(command, env={**os.environ, **found}).returncode
    sys.exit(status)


if __name__ == "__main__":
    main()
