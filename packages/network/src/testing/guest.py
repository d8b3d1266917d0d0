"""Stands in for a VM: pumps frames between an instance's tap and a tap of the guest's own namespace.

Usage: test-guest.py VPC_NAMESPACE TAP GUEST_NAMESPACE. Makes eth0 in the guest's namespace, prints "ready", runs until
its input ends. Each tap is opened the way the VMM opens it, virtio-net header included.
"""
import ctypes, errno, fcntl, os, select, struct, sys

TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, CLONE_NEWNET = 0x400454CA, 0x2, 0x1000, 0x4000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def open_tap(namespace, name):
    with open(f"/run/netns/{namespace}") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    return tap


outside, inside = open_tap(sys.argv[1], sys.argv[2]), open_tap(sys.argv[3], "eth0")
print("ready", flush=True)
while True:
    for source in select.select([0, outside, inside], [], [])[0]:
        if source == 0:
            sys.exit(0)
        try:
            os.write(inside if source == outside else outside, os.read(source, 65536))
        except OSError as error:
            if error.errno == errno.EBADFD:
                sys.exit(0)  # One of the taps is gone.
            # An interface that is down takes no frames; neither would a NIC.
