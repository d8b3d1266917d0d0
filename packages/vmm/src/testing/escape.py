"""What a monitor in a guest's hands would try, from inside the jail: run by the launcher in QEMU's place, with the very
descriptors QEMU gets. Prints one JSON object: the name of each attempt and how it ended, "done" or the error's name."""

import ctypes, errno, fcntl, json, mmap, os, resource, socket, struct, sys, threading, time

task, world = sys.argv[1], json.loads(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
outcomes = {}


def attempt(name, action):
    try:
        action()
        outcomes[name] = "done"
    except OSError as error:
        outcomes[name] = errno.errorcode[error.errno]
    except ValueError:
        outcomes[name] = "EPERM"  # What Python makes of a limit that may not be raised.


def call(number, *arguments):
    whole = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    if libc.syscall(ctypes.c_long(number), *whole) < 0:
        raise OSError(ctypes.get_errno(), "")


def again(number, flags):
    """The same file, opened again where the jail shows the monitor's descriptors."""
    return os.open(f"/fd/{number}", flags)


def map_shared(number):
    mmap.mmap(number, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()


def make_writable(number):
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, number, ctypes.c_long(0))
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "")
    if libc.mprotect(ctypes.c_void_p(address), 4096, mmap.PROT_READ | mmap.PROT_WRITE) < 0:
        raise OSError(ctypes.get_errno(), "")


KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
ADD_SEALS, SEAL_FUTURE_WRITE = 1033, 16
OFD_SETLK, RANGE = 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 200, 0)


def change(number):
    """Everything that changes a file, or what is known of it."""
    # Within the bound on the size of files, so that it is not that which refuses.
    larger = os.fstat(number).st_size + 4096
    return {
        "write": lambda: os.write(number, b"x"),
        "pwrite": lambda: os.pwrite(number, b"x", 4096),
        "map shared": lambda: map_shared(number),
        "map and make writable": lambda: make_writable(number),
        "punch a hole": lambda: call(285, number, KEEP_SIZE | PUNCH_HOLE, 0, 4096),
        "zero a range": lambda: call(285, number, ZERO_RANGE, 0, 4096),
        "extend": lambda: call(285, number, 0, 0, larger),
        "truncate": lambda: os.ftruncate(number, 0),
        "grow": lambda: os.ftruncate(number, larger),
        "seal": lambda: fcntl.fcntl(number, ADD_SEALS, SEAL_FUTURE_WRITE),
        "change the mode": lambda: os.fchmod(number, 0o777),
        "change the owner": lambda: os.fchown(number, os.getuid(), os.getuid()),
        "set an attribute": lambda: os.setxattr(number, "user.message", b"x"),
        "change the time": lambda: os.utime(number, (1, 1)),
        "lock": lambda: fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB),
        "lock a range": lambda: fcntl.fcntl(number, fcntl.F_SETLK, RANGE),
        "lock a range as QEMU does": lambda: fcntl.fcntl(number, OFD_SETLK, RANGE),
        "go around the cache": lambda: fcntl.fcntl(number, fcntl.F_SETFL, os.O_DIRECT),
        "lease": lambda: fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_RDLCK),
        "splice into": lambda: os.splice(os.pipe()[0], number, 1, flags=2),
    }


def try_files():
    for name, number in world["files"].items():
        for what, action in change(number).items():
            attempt(f"{name}: {what}", action)
        attempt(f"{name}: open for writing", lambda: again(number, os.O_WRONLY))
        attempt(f"{name}: open for both", lambda: again(number, os.O_RDWR))
        attempt(f"{name}: open and truncate", lambda: again(number, os.O_WRONLY | os.O_TRUNC))
        attempt(f"{name}: open its directory", lambda: os.open(f"/fd/{number}/..", os.O_RDONLY))
        attempt(f"{name}: remove", lambda: os.unlink(f"/fd/{number}"))
    # The one that QEMU has to open for writing.
    try:
        writable = again(world["memory"], os.O_RDWR)
    except OSError as error:
        outcomes["memory opened again"] = errno.errorcode[error.errno]
        return
    for what, action in change(writable).items():
        attempt(f"memory opened again: {what}", action)


def try_tap():
    TUNSETIFF, TUNSETPERSIST, TUNSETOWNER, TUNGETDEVNETNS = 0x400454CA, 0x400454CB, 0x400454CC, 0x54E3
    SIOCGSKNS, SIOCSIFHWADDR, TUNGETIFF = 0x894C, 0x8924, 0x800454D2
    tap = world["tap"]
    interface = struct.pack("16sH22x", world["otherTap"].encode(), 0x5002)
    attempt("ask its name", lambda: fcntl.ioctl(tap, TUNGETIFF, bytearray(40)))
    attempt("point it at another", lambda: fcntl.ioctl(tap, TUNSETIFF, interface))
    attempt("point a new one at another", lambda: fcntl.ioctl(again(tap, os.O_RDWR), TUNSETIFF, interface))
    attempt("make another", lambda: fcntl.ioctl(again(tap, os.O_RDWR), TUNSETIFF, struct.pack("16sH22x", b"new0", 0x5002)))
    attempt("keep it", lambda: fcntl.ioctl(tap, TUNSETPERSIST, 1))
    attempt("give it away", lambda: fcntl.ioctl(tap, TUNSETOWNER, 0))
    attempt("change its address", lambda: fcntl.ioctl(tap, SIOCSIFHWADDR, interface))
    attempt("enter its namespace", lambda: fcntl.ioctl(tap, SIOCGSKNS))
    attempt("enter its namespace by device", lambda: fcntl.ioctl(tap, TUNGETDEVNETNS))


def try_network():
    # Of all families: several of them know no network namespaces.
    for family in range(1, 46):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            attempt("socket", lambda: call(41, family, kind, 0))
            if outcomes["socket"] != "EPERM":
                outcomes[f"family {family} kind {kind}"] = outcomes["socket"]
    attempt("socket pair of another family", lambda: call(53, 40, 1, 0, ctypes.create_string_buffer(8)))


def try_namespaces():
    flags = {"user": 0x10000000, "net": 0x40000000, "mount": 0x20000, "pid": 0x20000000, "ipc": 0x8000000}
    for name, flag in flags.items():
        attempt(f"unshare {name}", lambda: call(272, flag))
        attempt(f"clone {name}", lambda: call(56, flag | 17, 0, 0, 0, 0))
    attempt("clone3", lambda: call(435, ctypes.create_string_buffer(struct.pack("11Q", flags["user"], *[0] * 10)), 88))
    for number in world["files"].values():
        attempt("setns", lambda: call(308, number, 0))
    attempt("mount", lambda: call(165, b"x", b"/dev", b"tmpfs", 0, None))
    attempt("mount a detached tree", lambda: call(428, -100, b"/fd", 1))
    attempt("new file system", lambda: call(430, b"proc", 0))
    attempt("unmount", lambda: call(166, b"/fd", 2))
    attempt("change root", lambda: os.chroot("/usr"))
    attempt("pivot root", lambda: call(155, b"/", b"/"))
    outcomes["root"] = sorted(os.listdir("/"))
    outcomes["devices"] = sorted(os.listdir("/dev"))
    try:
        # Its own, and the one that lists them.
        outcomes["descriptors"] = sorted(int(name) for name in os.listdir("/fd"))[: len(world["numbers"]) + 3]
    except OSError as error:
        outcomes["descriptors"] = errno.errorcode[error.errno]
    for path in ["/proc", "/sys", "/run", "/tmp", "/var", "/home", "/etc/passwd", world["directory"], world["disk"]]:
        attempt(f"look at {path}", lambda: os.stat(path))
    for path in ["/new", "/dev/new", "/usr/new", "/etc/new", "/fd/new", "/lib/new"]:
        attempt(f"make {path}", lambda: os.open(path, os.O_CREAT | os.O_WRONLY))
    attempt("device", lambda: os.mknod("/dev/sda", 0o60600, os.makedev(8, 0)))
    attempt("unnamed file", lambda: os.open("/", os.O_TMPFILE | os.O_RDWR))
    outcomes["set-user-id programs work"] = not os.statvfs("/usr").f_flag & os.ST_NOSUID
    outcomes["no new privileges"] = libc.prctl(39, 0, 0, 0, 0)
    attempt("become root", lambda: os.setresuid(0, 0, 0))


def try_processes():
    for name, pid in world["processes"].items():
        for signal in (0, 9, 19):
            attempt(f"signal {signal} to {name}", lambda: os.kill(pid, signal))
        attempt(f"signal its thread {name}", lambda: call(200, pid, 0))
        attempt(f"queue a signal to {name}", lambda: call(129, pid, 0, ctypes.create_string_buffer(128)))
        attempt(f"trace {name}", lambda: call(101, 16, pid, 0, 0))
        attempt(f"read memory of {name}", lambda: call(310, pid, ctypes.create_string_buffer(16), 0, ctypes.create_string_buffer(16), 0, 0))
        attempt(f"handle of {name}", lambda: call(434, pid, 0))
        attempt(f"limits of {name}", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE))
        attempt(f"compare with {name}", lambda: call(312, os.getpid(), pid, 0, 0, 0))
        attempt(f"priority of {name}", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
        attempt(f"processors of {name}", lambda: os.sched_setaffinity(pid, [0]))
    attempt("take a descriptor", lambda: call(438, 0, 0, 0))
    attempt("signal everyone", lambda: os.kill(-1, 0))
    attempt("signal its group", lambda: os.kill(0, 0))
    heard = set()
    for pid in range(1, 32768):
        try:
            if pid != os.getpid():
                os.kill(pid, 0)
                heard.add("done")
        except OSError as error:
            heard.add(errno.errorcode[error.errno])
    outcomes["signal to any process"] = sorted(heard)


def try_kernel():
    numbers = {
        "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "io_setup": 206, "keyctl": 250,
        "add_key": 248, "request_key": 249, "init_module": 175, "finit_module": 313, "delete_module": 176,
        "kexec_load": 246, "iopl": 172, "ioperm": 173, "reboot": 169, "syslog": 103, "swapon": 167, "acct": 163,
        "sethostname": 170, "settimeofday": 164, "clock_settime": 227, "personality": 135, "modify_ldt": 154,
        "fanotify_init": 300, "open_by_handle_at": 304, "name_to_handle_at": 303, "memfd_secret": 447, "shmget": 29,
        "mq_open": 240, "quotactl": 179, "vmsplice": 278, "tee": 276, "sendfile": 40, "execveat": 322, "cachestat": 451,
    }
    for name, number in numbers.items():
        attempt(name, lambda: call(number, 0, 0, 0, 0, 0, 0))
    attempt("a newer call", lambda: call(463, 0, 0, 0, 0, 0, 0))
    attempt("a call that will be", lambda: call(600, 0, 0, 0, 0, 0, 0))
    attempt("a call of x32", lambda: call(0x40000000 | 39))


def try_limits():
    disk, most = world["scratch"], world["fileBytes"]
    attempt("write to its own disk", lambda: os.pwrite(disk, b"x", 1 << 20))
    attempt("write at the bound", lambda: os.pwrite(disk, b"x", most - 1))
    attempt("write beyond it", lambda: os.pwrite(disk, b"x", most))
    attempt("truncate beyond it", lambda: os.ftruncate(disk, most + 1))
    attempt("allocate beyond it", lambda: call(285, disk, 0, most, 4096))
    attempt("raise the bound", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most + 1, most + 1)))
    attempt("raise the number of files", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)))
    outcomes["core"] = resource.getrlimit(resource.RLIMIT_CORE)
    attempt("allow a core", lambda: resource.setrlimit(resource.RLIMIT_CORE, (1, 1)))
    opened = 0
    try:
        while True:
            os.open("/dev/null", os.O_RDONLY)
            opened += 1
    except OSError as error:
        outcomes["open files"] = errno.errorcode[error.errno]
    outcomes["opened"] = opened


def bomb():
    """Has as many processes as it can get, until told to end."""
    read, write = os.pipe()
    made, failure = 0, ""
    while made < 10000:
        try:
            if os.fork() == 0:
                os.close(write)
                os.read(read, 1)
                os._exit(0)
            made += 1
        except OSError as error:
            failure = errno.errorcode[error.errno]
            break
    outcomes["made"], outcomes["ended by"] = made, failure
    if not world["leaves children"]:
        os.close(write)
        for _ in range(made):
            os.wait()


def hog():
    """Takes memory of one kind until it is ended."""
    if world["kind"] == "anonymous":
        taken = []
        while True:
            taken.append(b"x" * (1 << 20))
    number = os.memfd_create("hog")
    while True:
        os.write(number, b"x" * (1 << 20))


def try_what_zygotes_may():
    attempt("fork", lambda: call(57))
    attempt("vfork", lambda: call(58))
    attempt("clone", lambda: call(56, 17, 0, 0, 0, 0))
    attempt("clone3", lambda: call(435, ctypes.create_string_buffer(88), 88))
    attempt("run a program", lambda: os.execv("/usr/bin/true", ["true"]))
    attempt("run a program by handle", lambda: call(322, -100, b"/usr/bin/true", 0, 0, 0))
    attempt("become root", lambda: os.setresuid(0, 0, 0))
    attempt("become another", lambda: os.setresuid(65534, 65534, 65534))
    attempt("become another by effect", lambda: call(122, 65534))
    attempt("join a group", lambda: os.setgroups([0]))
    attempt("change its group", lambda: os.setresgid(0, 0, 0))
    attempt("take a capability", lambda: call(126, struct.pack("2I", 0x20080522, 0), struct.pack("6I", 64, 64, 0, 0, 0, 0)))
    attempt("leave its session", lambda: os.setsid())
    attempt("choose processors", lambda: os.sched_setaffinity(0, [0]))
    attempt("run before others", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
    attempt("signal the zygote", lambda: os.kill(os.getppid(), 0))
    attempt("start a thread", lambda: threading.Thread(target=int).start())
    outcomes["descriptors"] = [number for number in range(1024) if is_open(number)]


def is_open(number):
    try:
        os.fstat(number)
        return True
    except OSError:
        return False


def wait_to_be_cloned():
    """Returns in a clone, which has all the threads of its zygote: such as wait, such as run, and such as begin and end."""
    steps = [0]

    def run():
        while True:
            steps[0] += 1
            time.sleep(0.001)

    def breed():
        while True:
            one = threading.Thread(target=time.sleep, args=(0.0003,))
            one.start()
            one.join()

    for target in (run, breed, breed, threading.Event().wait):
        threading.Thread(target=target, daemon=True).start()
    zygote = os.getpid()
    os.write(2, b"waiting")
    while os.getpid() == zygote:
        time.sleep(0.001)
    before = steps[0]
    for _ in range(2000):
        if steps[0] > before + 10:
            outcomes["threads"] = "run"
            return
        time.sleep(0.01)
    outcomes["threads"] = "stand still"


tasks = {
    "zygote's rights": try_what_zygotes_may,
    "files": try_files,
    "tap": try_tap,
    "network": try_network,
    "namespaces": try_namespaces,
    "processes": try_processes,
    "kernel": try_kernel,
    "limits": try_limits,
    "bomb": bomb,
    "hog": hog,
}
if world.get("waits to be cloned"):
    wait_to_be_cloned()
tasks[task]()
os.write(2, json.dumps(outcomes).encode())
if world.get("leaves children") or world.get("waits to be cloned"):
    os._exit(0)
