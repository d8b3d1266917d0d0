import { Command, Option } from "commander";
import { logLevels } from "@isopod/base";
import { CliError, formatError } from "./cli-error.ts";
import type { ExecOptions } from "./commands/logs.ts";
import type { RunCommandOptions } from "./commands/run.ts";

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** Options of every command, before or after its name. */
function withGlobals(command: Command): Command {
  return command
    .option("--data-dir <directory>", "the installation, default /var/lib/isopod (ISOPOD_DATA_DIR)")
    .option("--kubeconfig <file>", "how to reach it, default KUBECONFIG or the installation's own")
    .option("-n, --namespace <name>", "namespace, default the kubeconfig's")
    .addOption(new Option("--output <form>", "form of the output").choices(["text", "json"]).default("text"));
}

async function main(argv: readonly string[]): Promise<number> {
  let exitStatus = 0;
  const program = new Command("isopod");
  program
    .description("Runs container images as isolated instances, each in a microVM of its own, billed by the second.")
    .exitOverride()
    .showHelpAfterError("(see isopod --help)")
    .enablePositionalOptions();
  const command = (usage: string, description: string): Command =>
    withGlobals(program.command(usage).description(description).exitOverride());
  // With options passed through, the `--` that ends ours comes along.
  const own = (args: readonly string[]): readonly string[] => (args[0] === "--" ? args.slice(1) : args);
  /** Loads the command's function, which is all of the program this call needs, runs it and keeps its exit status. */
  const does =
    <Args extends readonly unknown[]>(load: () => Promise<(...args: Args) => Promise<number>>) =>
    async (...args: Args): Promise<void> => {
      const action = await load();
      exitStatus = await action(...args);
    };

  command("up", "start the service on this machine")
    .option("-d, --detach", "in the background; returns when it is ready")
    .option("--host <address>", "address the API listens on, default 127.0.0.1")
    .option("--port <port>", "port of the API, default 6443; 0 picks one")
    .option("--kubelet-port <port>", "port of the node agent, default 10250; 0 picks one")
    .option("--node-name <name>", "name of this node, default the host's")
    .addOption(new Option("--accelerator <kind>", "what VMs run on, default auto").choices(["auto", "kvm", "tcg"]))
    .option("--cpu-overcommit <factor>", "vCPUs sold per core, default 4")
    .option("--memory-overcommit <factor>", "memory sold per byte there is, default 1")
    .option("--max-pods <count>", "instances at most, default 250")
    .option("--registry-stall-timeout <seconds>", "give up a registry that sends nothing for so long, default 30")
    .addOption(new Option("--log-level <level>", "default info").choices([...logLevels]))
    .action(does(async () => (await import("./commands/up.ts")).up));
  command("down", "stop the service; instances go on").action(
    does(async () => (await import("./commands/down.ts")).down),
  );
  command("run <image> [args...]", "run an image; ends with the container's exit code")
    .passThroughOptions()
    .option("-d, --detach", "print the name and return")
    .option("--rm", "remove the instance when it ends")
    .option("--name <name>", "name of the instance")
    .option("--cpu <vcpus>", "as in 0.5 or 500m; default 0.25")
    .option("--memory <size>", "as in 256Mi; default 512Mi")
    .option("-e, --env <name=value>", "environment variable; may be repeated", collect)
    .option("-l, --label <name=value>", "label; may be repeated", collect)
    .option("--restart <policy>", "no, on-failure or always; default no")
    .option("--vpc <name>", "VPC, default default")
    .option("-w, --workdir <path>", "working directory")
    .option("-u, --user <uid[:gid]>", "user and group, in numbers")
    .option("--pull <when>", "always, missing or never; default as Kubernetes: always for :latest")
    .option("-i, --interactive", "connect standard input")
    .option("-t, --tty", "with a terminal")
    .option("--timing", "tell on stderr where the start time went")
    .action(
      does(async () => {
        const { run } = await import("./commands/run.ts");
        return async (image: string, args: readonly string[], options: RunCommandOptions) =>
          await run(image, own(args), options);
      }),
    );
  command("ps", "list instances")
    .option("-a, --all", "those that are over too")
    .option("-A, --all-namespaces", "of every namespace")
    .option("-l, --selector <labels>", "with these labels")
    .action(does(async () => (await import("./commands/ps.ts")).ps));
  command("logs <name>", "print an instance's output")
    .option("-c, --container <name>", "of this container")
    .option("-f, --follow", "and what comes")
    .option("--tail <lines>", "only the last lines")
    .option("--since <duration>", "as in 90s, 5m or 1h30m")
    .option("--timestamps", "with the time of each line")
    .option("-p, --previous", "of the attempt before")
    .action(does(async () => (await import("./commands/logs.ts")).logs));
  command("exec <name> <command...>", "run a command in an instance")
    .passThroughOptions()
    .option("-c, --container <name>", "in this container")
    .option("-i, --interactive", "connect standard input")
    .option("-t, --tty", "with a terminal")
    .action(
      does(async () => {
        const { exec } = await import("./commands/logs.ts");
        return async (name: string, args: readonly string[], options: ExecOptions) =>
          await exec(name, own(args), options);
      }),
    );
  command("rm <names...>", "remove instances")
    .option("-f, --force", "with one second of grace")
    .action(does(async () => (await import("./commands/ps.ts")).rm));
  command("pause <names...>", "stop instances where they are").action(
    does(async () => (await import("./commands/pause.ts")).pause),
  );
  command("resume <names...>", "let paused instances go on").action(
    does(async () => (await import("./commands/pause.ts")).resume),
  );
  const snapshotCommand = command("snapshot <name>", "keep a running instance as it is now, to clone it later")
    .enablePositionalOptions()
    .option("--name <snapshot>", "name of the snapshot, default the instance's and five letters")
    // `snapshot -n shop rm old` must not remove `old` of another namespace.
    .hook("preSubcommand", (parent, child) => {
      for (const [option, value] of Object.entries(parent.opts())) {
        if (parent.getOptionValueSource(option) === "cli") child.setOptionValue(option, value);
      }
    })
    .action(does(async () => (await import("./commands/snapshots.ts")).snapshot));
  const ofSnapshots = (usage: string, description: string): Command =>
    withGlobals(snapshotCommand.command(usage).description(description).exitOverride());
  ofSnapshots("ls", "list snapshots")
    .option("-A, --all-namespaces", "of every namespace")
    .action(does(async () => (await import("./commands/snapshots.ts")).snapshots));
  ofSnapshots("rm <names...>", "delete snapshots; clones run on").action(
    does(async () => (await import("./commands/snapshots.ts")).snapshotRemove),
  );
  command("clone [names...]", "a new instance that goes on from where another is: clone POD [NEW]")
    .option("--snapshot <name>", "from this snapshot: clone --snapshot S [NEW]")
    .action(does(async () => (await import("./commands/clone.ts")).clone));
  const node = (made: Command): Command => made.option("--node <name>", "on this node, default the only one");
  node(command("images", "list images")).action(does(async () => (await import("./commands/images.ts")).images));
  const image = program.command("image").description("load, pull or remove images").exitOverride();
  const imageCommand = (usage: string, description: string): Command =>
    node(withGlobals(image.command(usage).description(description).exitOverride()));
  imageCommand("pull <reference>", "fetch an image from its registry").action(
    does(async () => (await import("./commands/images.ts")).imagePull),
  );
  imageCommand("load <path>", "load an OCI layout (directory or tar) or a `docker save` archive")
    .option("--name <reference>", "name for an image that brings none")
    .action(does(async () => (await import("./commands/images.ts")).imageLoad));
  imageCommand("rm <reference>", "remove a name, and the image with its last one").action(
    does(async () => (await import("./commands/images.ts")).imageRemove),
  );
  const template = program
    .command("template")
    .description("list, build or remove the booted machines that instances are forked from")
    .exitOverride();
  const templateCommand = (usage: string, description: string): Command =>
    node(withGlobals(template.command(usage).description(description).exitOverride()));
  templateCommand("ls", "list templates").action(does(async () => (await import("./commands/templates.ts")).templates));
  templateCommand(
    "build [sizes...]",
    "build those of these sizes, as in 0.25x512Mi; default all the node can hold",
  ).action(does(async () => (await import("./commands/templates.ts")).templateBuild));
  templateCommand("rm <ids...>", "remove templates; instances run on").action(
    does(async () => (await import("./commands/templates.ts")).templateRemove),
  );
  command("price", "what a size costs")
    .option("--cpu <vcpus>", "default 0.25")
    .option("--memory <size>", "default 512Mi")
    .action(does(async () => (await import("./commands/money.ts")).price));
  command("bill", "what ran, for how many seconds, at what price")
    .option("-A, --all-namespaces", "of every namespace")
    .option("-l, --selector <labels>", "of instances with these labels")
    .option("--since <time>", "seconds from this time, RFC 3339")
    .option("--until <time>", "seconds up to this time, RFC 3339")
    .action(does(async () => (await import("./commands/money.ts")).bill));
  command("version", "versions of this program and of the service").action(
    does(async () => (await import("./commands/version.ts")).version),
  );

  try {
    await program.parseAsync(argv, { from: "user" });
    return exitStatus;
  } catch (error) {
    // commander has told its own errors already.
    if (error instanceof Error && "code" in error && String(error.code).startsWith("commander.")) {
      return "exitCode" in error && error.exitCode === 0 ? 0 : 2;
    }
    process.stderr.write(`${formatError(error)}\n`);
    return error instanceof CliError ? error.exitStatus : 1;
  }
}

// A reader that goes away (`isopod logs … | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
process.exitCode = await main(process.argv.slice(2));
