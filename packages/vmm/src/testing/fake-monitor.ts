// A process that behaves as a monitor in a guest's hands might: `node fake-monitor.ts DIRECTORY ID`. It speaks QMP on
// the machine's control socket, one client at a time as QEMU does, and refuses the first `query-status`.
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

const [directory = "", id = ""] = process.argv.slice(2);
const waiting: Socket[] = [];
let isServing = false;
let hasRefused = false;

function serveNext(): void {
  const socket = isServing ? undefined : waiting.shift();
  if (socket === undefined) return;
  isServing = true;
  const say = (message: object): void => void socket.write(`${JSON.stringify(message)}\n`);
  say({ QMP: {} });
  createInterface({ input: socket }).on("line", (line) => {
    const { execute, id: call }: { execute: string; id: number } = JSON.parse(line);
    if (execute === "quit") process.exit(0);
    if (execute === "query-status" && !hasRefused) {
      hasRefused = true;
      return say({ error: { class: "GenericError", desc: "not now" }, id: call });
    }
    say({ return: execute === "query-name" ? { name: `isopod-${id}` } : { status: "running" }, id: call });
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    isServing = false;
    serveNext();
  });
}

createServer((socket) => {
  waiting.push(socket);
  serveNext();
}).listen(`${directory}/qmp.sock`, () => process.stdout.write("ready\n"));
