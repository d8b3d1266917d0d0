import type { ContainerSpec } from "../contract.ts";
import { containerSpec } from "./container-spec.ts";

/** All that a container can see of how it was made, without what differs by its nature. */
const look = [
  "sed 's/^[0-9]* [0-9]* [0-9]*:[0-9]* //; s#/pod/c[0-9]*/#/pod/N/#g; s#/termination-[0-9]*#/termination-N#' " +
    "/proc/self/mountinfo | sed 's/ - / /'",
  // Without link counts and dates: /proc's count is that of all processes.
  "ls -la / /dev /dev/pts /dev/shm /dev/mqueue /etc | " +
    "sed 's/^\\(..........\\) *[0-9]*/\\1/; s/[A-Z][a-z][a-z]  *[0-9]* [0-9:]*/DATE/; /^total/d'",
  "for n in mnt pid cgroup; do readlink /proc/self/ns/$n | sed 's/[0-9]*//g'; done",
  "for n in net ipc uts user; do readlink /proc/self/ns/$n; done",
  "grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Sig)' /proc/self/status",
  "cat /proc/self/limits /proc/self/cgroup; ls -l /proc/self/fd | sed 's/.* //; s/[0-9]*//g' | sort -u; umask; pwd",
  "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.oom.group /sys/fs/cgroup/cpu.max",
  'cat /etc/hostname /etc/hosts; env | sort; p=$(ps); echo "$p" | wc -l; echo > /proc/sys/kernel/hostname; wc -c < /proc/timer_list',
].join("; ");

/** A container that tells all that, and leaves a termination message; `changes` may take away its volumes. */
export function looking(changes: Partial<ContainerSpec> = {}): ContainerSpec {
  return containerSpec(["sh", "-c", `${look}; echo $$; echo said > /dev/termination-log`], {
    terminationMessagePath: "/dev/termination-log",
    limits: { memoryBytes: 64 * 1024 * 1024, pids: 99, cpuMilli: 800 },
    mounts: [
      { volume: "disk", path: "/data", isReadOnly: false },
      { volume: "files", path: "/config", isReadOnly: true },
    ],
    ...changes,
  });
}
