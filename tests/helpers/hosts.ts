// Several hosts on one machine: network namespaces of Linux, each with a cable to a switch that can be pulled out and put in again.
// Needs root and `ip`. The machine's own network is neither used nor changed.

import { spawnSync } from "node:child_process";
import { onTestFinished } from "vitest";
import { programs } from "./tools.js";

const [IP] = programs("ip");

/** Why there can be no hosts, and whether that is for lack of a tool; undefined where there can. */
export function missingHosts(): { note: string; tool: boolean } | undefined {
  if (!IP) return { note: "No ip was found. Install it (Debian: apt-get install iproute2).", tool: true };
  if (process.getuid?.() !== 0) return { note: "Hosts in network namespaces need root.", tool: false };
  const name = `wasm-rnn-${process.pid}-try`;
  const { status, stderr } = spawnSync(IP, ["netns", "add", name], { encoding: "utf8" });
  if (status !== 0) return { note: `There are no network namespaces: ${stderr.trim()}`, tool: true };
  ip("netns", "del", name);
  return undefined;
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync(IP!, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}

let networks = 0;

/** A host of a network. */
export class Host {
  readonly #namespace: string;
  readonly #plug: readonly [namespace: string, port: string];

  constructor(
    namespace: string,
    plug: readonly [namespace: string, port: string],
    readonly address: string,
  ) {
    this.#namespace = namespace;
    this.#plug = plug;
  }

  /** The command that runs another one on this host. */
  command(program: string, args: readonly string[]): [program: string, args: string[]] {
    return [IP!, ["netns", "exec", this.#namespace, program, ...args]];
  }

  /** Puts the cable into the switch, or pulls it out: packets are then lost both ways, and nobody is told. */
  set plugged(plugged: boolean) {
    const [namespace, port] = this.#plug;
    ip("-n", namespace, "link", "set", port, plugged ? "up" : "down");
  }
}

/** Hosts on a switch, which end with the test. Start their processes afterwards: what ends with the test ends in the other order. */
export function startHosts(count: number): Host[] {
  const network = `wasm-rnn-${process.pid}-${networks++}`;
  const center = `${network}-switch`;
  const add = (name: string) => {
    ip("netns", "add", name);
    onTestFinished(() => ip("netns", "del", name));
  };
  add(center);
  ip("-n", center, "link", "add", "switch", "type", "bridge");
  ip("-n", center, "link", "set", "switch", "up");
  return Array.from({ length: count }, (_, i) => {
    const [namespace, port, address] = [`${network}-${i}`, `port${i}`, `10.77.0.${i + 1}`];
    add(namespace);
    ip("-n", center, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    ip("-n", center, "link", "set", port, "master", "switch");
    ip("-n", center, "link", "set", port, "up");
    ip("-n", namespace, "address", "add", `${address}/24`, "dev", "eth0");
    for (const device of ["lo", "eth0"]) ip("-n", namespace, "link", "set", device, "up");
    return new Host(namespace, [center, port], address);
  });
}
