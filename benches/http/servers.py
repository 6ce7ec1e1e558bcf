"""The origin, and the caches that are compared: tiergate, nginx, varnish. Each on a free port of loopback."""

import http.client
import os
import re
import subprocess
import time

from processes import Failure, Process, free_port

START_SECONDS_MAX = 30.0
CAPACITY = "2g"
CAPACITY_BYTES = 2 << 30

NGINX_HEAD = """
daemon off;
{user}
worker_processes {workers};
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/client;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
"""

ORIGIN = NGINX_HEAD + """
    server {{
        listen 127.0.0.1:{port};
        location = /status {{ stub_status; }}
        location ~ ^/(?<size>[0-9]+k)/ {{
            root {directory}/files;
            add_header Cache-Control max-age=86400;
            try_files /$size =404;
        }}
    }}
}}
"""

NGINX = NGINX_HEAD + """
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 64;
    }}
    proxy_cache_path {directory}/cache levels=1:2 keys_zone=cache:64m max_size={capacity} inactive=1d use_temp_path=off;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{h2_port} http2;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_cache cache;
            proxy_cache_key $request_uri;
            add_header X-Cache-Status $upstream_cache_status;
        }}
    }}
}}
"""

VARNISH = """
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_deliver {{
    if (obj.hits > 0) {{ set resp.http.X-Cache-Status = "HIT"; }}
    else {{ set resp.http.X-Cache-Status = "MISS"; }}
}}
"""

TIERGATE = """
listen: 127.0.0.1:0
{h2c}
origin: http://127.0.0.1:{origin}
cache: {{ l0: {l0}, l2: {{ capacity: {capacity} }} }}
storage: {{ l2: {{ directory: "{directory}/l2" }} }}
"""


def nginx_config(template, directory, **values):
    user = "user root;" if os.getuid() == 0 else ""
    file = os.path.join(directory, "nginx.conf")
    with open(file, "w") as out:
        out.write(template.format(directory=directory, user=user, **values))
    return ["nginx", "-e", "stderr", "-p", directory, "-c", file]


class Answer:
    """A response, whole."""

    def __init__(self, response):
        self.status = response.status
        self.fields = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()


class Server(Process):
    """A process that answers HTTP on `port`."""

    def __init__(self, port, command, log, **more):
        self.port = port
        super().__init__(command, log, **more)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return Answer(connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"GET {path} from {self.child.args[0]}: {error!r}\n{self.said()}") from error
        finally:
            connection.close()

    def wait_until_up(self):
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            self.check_alive()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.connect()
                connection.close()
                return self
            except OSError:
                if time.monotonic() > until:
                    raise Failure(f"{self.child.args[0]} does not listen:\n{self.said()}") from None
                time.sleep(0.05)


class Origin(Server):
    """nginx with one file of each size, which answers any path below its size."""

    def __init__(self, directory, sizes):
        files = os.path.join(directory, "files")
        os.makedirs(files)
        self.bodies = {name: bytes((n * 131 + (n >> 8) * 17) % 251 for n in range(size))
                       for name, size in sizes.items()}
        for name, body in self.bodies.items():
            with open(os.path.join(files, name), "wb") as out:
                out.write(body)
        port = free_port()
        command = nginx_config(ORIGIN, directory, port=port, workers=1)
        super().__init__(port, command, os.path.join(directory, "log"))
        self.asked = 0

    def requests(self):
        """Requests answered so far, without those of this question."""
        text = self.get("/status").body.decode()
        self.asked += 1
        return int(re.search(r"\n\s*\d+ \d+ (\d+)", text).group(1)) - self.asked


class Nginx:
    name = "nginx"

    def start(self, directory, origin, _workload):
        port, h2_port = free_port(), free_port()
        command = nginx_config(NGINX, directory, port=port, h2_port=h2_port, origin=origin.port, capacity=CAPACITY,
                               workers=os.cpu_count())
        server = Server(port, command, os.path.join(directory, "log"))
        server.h2_port = h2_port
        return server

    def version(self):
        return told(["nginx", "-v"])

    def is_hit(self, answer, _in_memory):
        return answer.fields.get("x-cache-status") == "HIT"


class Varnish:
    name = "varnish"

    def start(self, directory, origin, workload):
        port = free_port()
        file = os.path.join(directory, "cache.vcl")
        with open(file, "w") as out:
            out.write(VARNISH.format(origin=origin.port))
        store = f"malloc,{CAPACITY}" if workload.in_memory else f"file,{directory}/store,{CAPACITY}"
        command = ["varnishd", "-F", "-j", "none", "-n", os.path.join(directory, "work"), "-f", file,
                   "-a", f"127.0.0.1:{port}", "-s", store]
        if workload.h2:
            command += ["-p", "feature=+http2"]
        server = Server(port, command, os.path.join(directory, "log"))
        server.h2_port = port
        return server

    def version(self):
        return told(["varnishd", "-V"])

    def is_hit(self, answer, _in_memory):
        return answer.fields.get("x-cache-status") == "HIT"


class Tiergate:
    """One build of tiergate. Several may be compared."""

    def __init__(self, name, binary):
        self.name, self.binary = name, os.path.abspath(binary)

    def start(self, directory, origin, workload):
        file = os.path.join(directory, "tiergate.yaml")
        l0 = "{}" if workload.in_memory else "null"
        h2c = "h2c: true" if workload.h2 else ""
        with open(file, "w") as out:
            out.write(TIERGATE.format(directory=directory, origin=origin.port, l0=l0, h2c=h2c,
                                      capacity=CAPACITY_BYTES))
        log = os.path.join(directory, "log")
        server = Server(0, [self.binary, "serve", "-c", file], log, stdout=subprocess.PIPE, text=True)
        line = server.child.stdout.readline()
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)
        if not found:
            server.end()
            raise Failure(f"{self.binary} does not listen: {line}\n{server.said()}")
        server.port = server.h2_port = int(found.group(1))
        return server

    def version(self):
        return told([self.binary, "--version"])

    def is_hit(self, answer, in_memory):
        status = answer.fields.get("cache-status", "")
        return "; hit" in status and f"detail={'l0' if in_memory else 'l2'}" in status


def told(command):
    """The first line that a program prints about itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).splitlines()[0].strip()
