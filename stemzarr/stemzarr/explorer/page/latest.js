// Requests of which only the last one matters.

/** Runs one request at a time; of those that come meanwhile, the last is run next. */
export class Latest {
  /** `run(argument, signal)` returns a promise; `fail(error)` gets what goes wrong. */
  constructor(run, fail) {
    this.run = run;
    this.fail = fail;
    this.waiting = null;
    this.controller = null;
  }

  /** Asks once what is asked now is done. */
  ask(argument) {
    this.waiting = { argument };
    if (!this.controller) this.next();
  }

  /** Asks at once: what is asked now is given up. */
  insist(argument) {
    this.stop();
    this.ask(argument);
  }

  /** Gives up what is asked. */
  stop() {
    this.waiting = null;
    if (this.controller) this.controller.abort();
    this.controller = null;
  }

  get busy() {
    return this.controller !== null;
  }

  async next() {
    const { argument } = this.waiting;
    const controller = (this.controller = new AbortController());
    this.waiting = null;
    try {
      await this.run(argument, controller.signal);
    } catch (error) {
      if (error.name !== "AbortError" && !controller.signal.aborted) this.fail(error);
    }
    if (this.controller !== controller) return;
    this.controller = null;
    if (this.waiting) this.next();
  }
}
