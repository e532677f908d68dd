// A training of a character model whose steps are cut into shards.

import { FormatError, StateError } from "../../bindings/errors.js";
import type { Vocabulary } from "../models/text.js";
import { addPart, part, type Tensors } from "./records.js";
import type { Settings } from "./settings.js";
import { charLMShards, charLMTask, CharLMShard } from "./shard-tasks.js";
import { ShardedTraining } from "./sharded-training.js";
import type { Transport } from "./shards.js";
import { Trainer, type StepResult, type TrainerOptions } from "./trainer.js";

const OPTIMIZER = "optimizer.";
const STATE = "state.";

export class ShardedTrainer extends Trainer {
  readonly #sharded: ShardedTraining;
  #transport: Transport | undefined;

  /**
   * @param settings shards, localSteps and outerMomentum decide the result
   * @param stepsPerJob steps of a job, where the training is of one shard: they change nothing in the result
   */
  constructor(
    settings: Settings,
    vocabulary: Vocabulary,
    codes: Int32Array,
    { stepsPerJob = 1, ...options }: TrainerOptions & { stepsPerJob?: number | undefined } = {},
  ) {
    super(settings, vocabulary, codes, options);
    const { batch, seq, seed, clip, shards = 1, localSteps = stepsPerJob, outerMomentum = 0 } = settings;
    const { model, text } = this;
    this.#sharded = new ShardedTraining(
      {
        task: charLMTask.name,
        ...charLMShards(model, text.train, { batch, seq, shards }),
        ...{ shards, localSteps, outerMomentum, seed, clip },
        model: new CharLMShard(model, batch, seq),
        kind: { kind: "Adam" },
        transport: { run: (jobs) => this.#connected().run(jobs), close: () => this.#connected().close() },
      },
      this.optimizer,
    );
  }

  /** Where shards are computed; the caller's to close. */
  set transport(transport: Transport) {
    this.#transport = transport;
  }

  #connected(): Transport {
    if (!this.#transport) throw new StateError("transport", "none", "one that is set before the first step");
    return this.#transport;
  }

  /** Whether the training is that of a Trainer without shards, which can continue it. */
  get #whole(): boolean {
    const { shards, outerMomentum } = this.#sharded.parts;
    return shards === 1 && outerMomentum === 0;
  }

  /**
   * A round ends with its epoch, before an evaluation and at the last step. Where it throws, nothing is changed.
   *
   * @throws whatever the transport throws
   */
  override async advanceRound(): Promise<StepResult[]> {
    const { step, settings, stepsPerEpoch, totalSteps, model, optimizer } = this;
    const { window } = this.position;
    const { evalEvery } = settings;
    const sharded = this.#sharded;
    const ends = [stepsPerEpoch - window, evalEvery - (step % evalEvery), totalSteps - step];
    const count = Math.min(sharded.parts.localSteps, ...ends);
    const steps = Array.from({ length: count }, (_, i) => i);
    const rates = steps.map((i) => this.rateOf(step + i));
    this.keepWarmUp();
    if (this.#whole) {
      const carried: Record<string, Tensors[string]> = {};
      if (model.state) addPart(carried, STATE, { ...model.state });
      if (sharded.local) addPart(carried, OPTIMIZER, optimizer.stateDict());
      sharded.carried = [carried];
    }
    const results = await sharded.round({ step, batches: steps.map((i) => window + i), rates });
    if (this.#whole) {
      const [carried] = sharded.carried as [Tensors];
      const { h, c } = part(carried, STATE);
      model.state = h && { h, ...(c && { c }) };
      if (sharded.local) optimizer.loadStateDict(part(carried, OPTIMIZER));
    }
    return results.map(({ loss, gradNorm }, i) => {
      this.history.train.push(loss);
      return { loss, gradNorm, learningRate: rates[i]! };
    });
  }

  override saveMore(): Tensors {
    const tensors: Record<string, Tensors[string]> = {};
    if (this.#whole) return tensors;
    this.#sharded.carried.forEach((carried, shard) => addPart(tensors, `shards.${shard}.`, carried));
    addPart(tensors, "outer.", this.#sharded.outer);
    return tensors;
  }

  override restoreMore(tensors: Tensors): void {
    if (this.#whole) return;
    const { shards } = this.#sharded.parts;
    const carried = Array.from({ length: shards }, (_, shard) => part(tensors, `shards.${shard}.`));
    const counts = carried.map((own) => Object.keys(own).length);
    const all = Object.keys(part(tensors, "shards.")).length;
    if (counts.some((count) => count * shards !== all)) {
      throw new FormatError("shards", "other shards", `what ${shards} shards carry on`);
    }
    this.#sharded.carried = carried;
    this.#sharded.outer = part(tensors, "outer.");
  }
}
