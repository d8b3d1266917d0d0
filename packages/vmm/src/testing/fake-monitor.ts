// A process that behaves as a monitor in a guest's hands might: `node fake-monitor.ts DIRECTORY ID [STATUS]`. It speaks
// QMP on the machine's control socket, one client at a time as QEMU does, refuses the first `query-status` and the first
// `cont`, and says on its standard output what it was told.
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

const [directory = "", id = "", status = "running"] = process.argv.slice(2);
const waiting: Socket[] = [];
let isServing = false;
const refused = new Set(["query-status", "cont"]);

function serveNext(): void {
  const socket = isServing ? undefined : waiting.shift();
  if (socket === undefined) return;
  isServing = true;
  const say = (message: object): void => void socket.write(`${JSON.stringify(message)}\n`);
  say({ QMP: {} });
  createInterface({ input: socket }).on("line", (line) => {
    const { execute, id: call }: { execute: string; id: number } = JSON.parse(line);
    if (execute === "quit") process.exit(0);
    process.stdout.write(`${execute}\n`);
    if (refused.delete(execute)) return say({ error: { class: "GenericError", desc: "not now" }, id: call });
    if (execute === "query-named-block-nodes") return say({ return: [], id: call });
    say({ return: execute === "query-name" ? { name: `isopod-${id}` } : { status }, id: call });
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
