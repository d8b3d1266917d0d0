/**
 * The programs of the rehearsal image, for x86-64 Linux: one that makes the system calls of a C library's start,
 * a shell's and a server's, and the loader that it names, which the kernel starts first, as for most real programs.
 * What counts is the kernel's code on the way: a program's own is never that of another. QEMU translates kernel code
 * once for what is entered by system calls and once for what is entered from a program by faults and interrupts (the
 * stack segment's size is part of the key), so a program must fault by itself where real ones do.
 */
export const loaderPath = "/lib/ld-rehearsal.so";
export const rehearsalOutput = "rehearsed\n";

const pageBytes = 4096;
const programBase = 0x400000;
/** Several times what is read ahead at once, so that the program waits for its own text as real ones do. */
const textPages = 127;
const dataPages = 3;
const data = programBase + textPages * pageBytes;
/** Behind the data of the file: memory that begins as zeros. */
const zeros = data + dataPages * pageBytes;
const result = zeros;
/** Some zeros that stay. */
const nothing = zeros + 8;
const buffer = zeros + pageBytes;
const thread = zeros + 4 * pageBytes;
/** Their end has a page table of its own. */
const zeroBytes = 2 * 1024 * 1024 + 8 * pageBytes;
/** Where mappings go that name their place. */
const area = 0x10000000;

const elfHeaderBytes = 64;
const segmentBytes = 56;
const callBytes = 7 * 8;
const end = -1;
const here = -100;

/** Its number, then what it is given; a text stands for its address. */
type Call = readonly (number | string)[];

/** What a program does before its first output. The first descriptor that is free is 3. */
const beforeOutput: readonly Call[] = [
  [12, 0], // brk
  [158, 0x3001, buffer], // arch_prctl, of what is not there
  [9, 0, 2 * pageBytes, 3, 0x22, -1, 0], // mmap: private, anonymous
  [21, "/etc/ld.so.preload", 4], // access, of what is not there
  [257, here, "/etc/passwd", 0x80000, 0], // openat
  [262, 3, "", buffer, 0x1000], // newfstatat
  [9, area, pageBytes, 1, 0x12, 3, 0], // mmap: private, of a file, fixed
  [3, 3], // close
  [257, here, loaderPath, 0x80000, 0],
  [0, 3, buffer, 832], // read
  [17, 3, buffer, 784, 64], // pread64
  [9, area, 4 * pageBytes, 1, 0x812, 3, 0],
  [9, area, pageBytes, 5, 0x812, 3, 0],
  [9, area + pageBytes, pageBytes, 3, 0x812, 3, pageBytes],
  [9, area + 2 * pageBytes, 2 * pageBytes, 3, 0x32, -1, 0],
  [3, 3],
  [158, 0x1002, thread], // arch_prctl: the thread's own memory
  [218, thread], // set_tid_address
  [273, thread + 64, 24], // set_robust_list
  [334, thread + 128, 32, 0, 0x53053053], // rseq
  [10, area + pageBytes, pageBytes, 1], // mprotect
  [10, buffer, pageBytes, 1],
  [10, buffer, pageBytes, 3],
  [302, 0, 3, 0, buffer], // prlimit64
  [11, area + 2 * pageBytes, 2 * pageBytes], // munmap
  [318, buffer, 8, 1], // getrandom
  [12, 0],
  [39], // getpid
  [110], // getppid
  [102], // getuid
  [107], // geteuid
  [104], // getgid
  [108], // getegid
  [13, 2, 0, buffer, 8], // rt_sigaction
  [14, 0, 0, buffer, 8], // rt_sigprocmask
  [63, buffer], // uname
  [79, buffer, 4096], // getcwd
  [262, here, ".", buffer, 0],
  [89, "/proc/self/exe", buffer, 4096], // readlink
  [157, 15, "sh"], // prctl: its name
  [157, 16, buffer],
  [16, 1, 0x5401, buffer], // ioctl: whether the output is a terminal
  [262, 1, "", buffer, 0x1000],
  [72, 1, 3, 0], // fcntl
  [1, 1, rehearsalOutput, rehearsalOutput.length], // write
];

/** And then, perhaps. */
const afterOutput: readonly Call[] = [
  [257, here, "/usr/bin", 0x90800, 0],
  [217, 3, buffer, 4096], // getdents64
  [3, 3],
  [257, here, "/tmp/rehearsal", 0x80242, 0o644],
  [1, 3, rehearsalOutput, rehearsalOutput.length],
  [8, 3, 0, 0], // lseek
  [0, 3, buffer, 64],
  [3, 3],
  [87, "/tmp/rehearsal"], // unlink
  [22, buffer], // pipe
  [33, 3, 5], // dup2
  [3, 3],
  [3, 4],
  [3, 5],
  [41, 2, 0x80801, 0], // socket
  [54, 3, 1, 2, nothing, 4], // setsockopt
  [49, 3, nothing, 16], // bind, to any port
  [50, 3, 16], // listen
  [291, 0x80000], // epoll_create1
  [233, 4, 1, 3, nothing], // epoll_ctl
  [232, 4, buffer, 4, 0], // epoll_wait
  [3, 4],
  [3, 3],
  [57], // fork; must be the last
];

const inChild: readonly Call[] = [
  [59, "/usr/bin/none", nothing, nothing], // execve, of what is not there
  [59, "/usr/bin/true", nothing, nothing],
];

const inParent: readonly Call[] = [
  [61, -1, buffer, 0, 0], // wait4
  [35, nothing, 0], // nanosleep
  [231, 0],
];

/** Calls and the texts they name, as they lie in memory from `data` on. */
function writeCalls(lists: readonly (readonly Call[])[]): { readonly bytes: Buffer; readonly starts: number[] } {
  const starts: number[] = [];
  let textAt = data + lists.reduce((sum, list) => sum + (list.length + 1) * callBytes, 0);
  const words: bigint[] = [];
  const texts: Buffer[] = [];
  for (const list of lists) {
    starts.push(data + words.length * 8);
    for (const call of [...list, [end]]) {
      for (let index = 0; index < callBytes / 8; index++) {
        const value = call[index] ?? 0;
        words.push(BigInt(typeof value === "number" ? value : textAt));
        if (typeof value === "number") continue;
        const text = Buffer.from(`${value}\0`);
        texts.push(text);
        textAt += text.length;
      }
    }
  }
  if (textAt > zeros - pageBytes) throw new RangeError("the program's data are longer than it says");
  const table = Buffer.alloc(words.length * 8);
  for (const [index, word] of words.entries()) table.writeBigInt64LE(word, index * 8);
  return { bytes: Buffer.concat([table, ...texts, Buffer.alloc(zeros - textAt)]), starts };
}

function address(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

/**
 * Looks at each page of the text and writes to some others; then makes the calls of the first list, and, by the result
 * of its last one, those of the second (0) or the third.
 */
function runCalls([first = 0, second = 0, third = 0]: readonly number[]): Buffer {
  const run = [
    [0x48, 0x8b, 0x03], // mov rax, [rbx]
    [0x48, 0x8b, 0x7b, 0x08], // mov rdi, [rbx+8]
    [0x48, 0x8b, 0x73, 0x10], // mov rsi, [rbx+16]
    [0x48, 0x8b, 0x53, 0x18], // mov rdx, [rbx+24]
    [0x4c, 0x8b, 0x53, 0x20], // mov r10, [rbx+32]
    [0x4c, 0x8b, 0x43, 0x28], // mov r8, [rbx+40]
    [0x4c, 0x8b, 0x4b, 0x30], // mov r9, [rbx+48]
    [0x0f, 0x05], // syscall
    [0x48, 0x89, 0x03], // mov [rbx], rax: the page becomes the program's own
    [0x48, 0x89, 0x04, 0x25, ...address(result)], // mov [result], rax
    [0x48, 0x83, 0xc3, callBytes], // add rbx, callBytes
    [0x48, 0x83, 0x3b, 0x00], // cmp qword [rbx], 0
  ].flat();
  const write = (to: number): number[] => [0x88, 0x04, 0x25, ...address(to)]; // mov [to], al
  // Backwards, so that what is wanted has not been read ahead.
  const look = [
    [0xbe, ...address(data)], // mov esi, data
    [0x81, 0xee, ...address(pageBytes)], // sub esi, pageBytes
    [0x8a, 0x06], // mov al, [rsi]
    [0x81, 0xfe, ...address(programBase)], // cmp esi, programBase
    [0x77, -16 & 0xff], // ja back to the sub
    write(zeros - pageBytes),
    write(zeros + 6 * pageBytes),
    write(zeros + zeroBytes - pageBytes),
  ].flat();
  const choose = [
    [0x83, 0x3c, 0x25, ...address(result), 0x00], // cmp dword [result], 0
    [0xbb, ...address(second)], // mov ebx, second
    [0xb8, ...address(third)], // mov eax, third
    [0x0f, 0x45, 0xd8], // cmovne ebx, eax
  ].flat();
  return Buffer.from(
    [
      look,
      [0xbb, ...address(first)], // mov ebx, first
      [0xe8, ...address(choose.length)], // call run
      choose,
      run,
      [0x7d, -(run.length + 2) & 0xff], // jge run
      [0xc3], // ret
    ].flat(),
  );
}

interface Segments {
  /** 2: at its own addresses; 3: anywhere. */
  readonly type: 2 | 3;
  readonly base: number;
  readonly textPages: number;
  readonly code: Buffer;
  readonly data: Buffer;
  readonly zeroBytes: number;
  readonly loader?: string;
}

/** An ELF file: headers and code in one segment, data and zeros in another. */
function elf(program: Segments): Buffer {
  const dataOffset = program.textPages * pageBytes;
  const file = Buffer.alloc(dataOffset + Math.ceil(program.data.length / pageBytes) * pageBytes);
  const loader = program.loader === undefined ? undefined : Buffer.from(`${program.loader}\0`);
  const segments: (readonly number[])[] = [
    // type, flags, offset, size in the file, size in memory, alignment
    [1, 5, 0, dataOffset, dataOffset, pageBytes],
    [1, 6, dataOffset, program.data.length, file.length - dataOffset + program.zeroBytes, pageBytes],
    [0x6474e551, 6, 0, 0, 0, 16],
  ];
  const namesAt = elfHeaderBytes + (segments.length + (loader === undefined ? 0 : 1)) * segmentBytes;
  if (loader !== undefined) segments.unshift([3, 4, namesAt, loader.length, loader.length, 1]);
  const codeAt = namesAt + (loader?.length ?? 0);
  // 64 bits, little-endian, version 1.
  file.write("\u007fELF\u0002\u0001\u0001", 0, "latin1");
  file.writeUInt16LE(program.type, 16);
  file.writeUInt16LE(62, 18); // x86-64
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(program.base + codeAt), 24);
  file.writeBigUInt64LE(BigInt(elfHeaderBytes), 32);
  for (const [index, value] of [elfHeaderBytes, segmentBytes, segments.length].entries()) {
    file.writeUInt16LE(value, 52 + index * 2);
  }
  for (const [index, [type = 0, flags = 0, offset = 0, ...sizes]] of segments.entries()) {
    const at = elfHeaderBytes + index * segmentBytes;
    file.writeUInt32LE(type, at);
    file.writeUInt32LE(flags, at + 4);
    const words = [offset, program.base + offset, program.base + offset, ...sizes];
    for (const [word, value] of words.entries()) file.writeBigUInt64LE(BigInt(value), at + 8 + word * 8);
  }
  loader?.copy(file, namesAt);
  program.code.copy(file, codeAt);
  program.data.copy(file, dataOffset);
  return file;
}

export function rehearsalProgram(): Buffer {
  const { bytes, starts } = writeCalls([[...beforeOutput, ...afterOutput], inChild, inParent]);
  const segments = { type: 2, base: programBase, textPages, data: bytes, zeroBytes } as const;
  return elf({ ...segments, code: runCalls(starts), loader: loaderPath });
}

/** Ends at once; needs no loader. */
export function rehearsalChild(): Buffer {
  const code = Buffer.from(
    [
      [0xb8, ...address(231)], // mov eax, exit_group
      [0x31, 0xff], // xor edi, edi
      [0x0f, 0x05], // syscall
    ].flat(),
  );
  return elf({ type: 2, base: programBase, textPages: 1, code, data: Buffer.alloc(64), zeroBytes: pageBytes });
}

/** Goes to the program at once. */
export function rehearsalLoader(): Buffer {
  const { length } = Buffer.from(`${loaderPath}\0`);
  const entry = programBase + elfHeaderBytes + 4 * segmentBytes + length;
  const code = Buffer.from(
    [
      // To its data, which begin at the next page.
      [0x48, 0x89, 0x25, ...address(pageBytes - (elfHeaderBytes + 3 * segmentBytes) - 7)], // mov [rip+…], rsp
      [0xb8, ...address(entry)], // mov eax, entry
      [0xff, 0xe0], // jmp rax
    ].flat(),
  );
  return elf({ type: 3, base: 0, textPages: 1, code, data: Buffer.alloc(64), zeroBytes: pageBytes });
}
