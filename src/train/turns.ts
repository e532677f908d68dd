// Turns of the event loop between steps: signals, messages, input and drawing wait while JavaScript runs.

/** Milliseconds of work from one turn to the next: a turn costs some microseconds, and a drawn frame has 16 ms. */
const SLICE = 10;

/** Lets everything run that waits in the event loop; resolved promises alone do not. */
export function nextTurn(): Promise<void> {
  const host = globalThis as {
    setImmediate?: (done: () => void) => unknown;
    MessageChannel?: typeof MessageChannel;
  };
  return new Promise((resolve) => {
    if (host.setImmediate) host.setImmediate(resolve);
    else if (host.MessageChannel) {
      const { port1, port2 } = new host.MessageChannel(); // setTimeout would wait 4 ms in browsers
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(undefined);
    } else setTimeout(resolve);
  });
}

/** Gives the event loop a turn where the latest one is 10 ms ago. */
export class Turns {
  #latest = Date.now();

  async take(): Promise<void> {
    if (Math.abs(Date.now() - this.#latest) < SLICE) return;
    await nextTurn();
    this.#latest = Date.now();
  }
}
