import type { MachineExit } from "@isopod/vmm";

/** What is told of a VM that ended by itself. The whole console is the guest's word: long, and of no use to most. */
const maxLength = 500;

/** The last of what the monitor, else the guest's console, said: on one line, for events and logs. */
export function lastWords(exit: MachineExit): string {
  const text = (exit.stderrTail.trim() === "" ? exit.consoleTail : exit.stderrTail)
    // oxlint-disable-next-line no-control-regex -- consoles colour their lines
    .replace(/\u001b\[[0-9;]*[A-Za-z]/g, "")
    .replace(/[^\p{L}\p{N}\p{P}\p{S}]+/gu, " ")
    .trim();
  if (text === "") return exit.signal === undefined ? "it left no last words" : `killed by ${exit.signal}`;
  return text.length > maxLength ? `…${text.slice(-maxLength)}` : text;
}
