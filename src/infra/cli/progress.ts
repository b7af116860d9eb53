import cliProgress from 'cli-progress';
import type { Watch } from '../maintenance/watch.js';

/** How often a plain line is printed without a terminal, in milliseconds. */
const LINE_INTERVAL_MS = 2_000;

/** The progress of a long task on stderr: a bar on a terminal, otherwise a line every LINE_INTERVAL_MS. */
export interface Progress {
  update(done: number, total: number): void;
  stop(): void;
}

/**
 * Begins to show the progress of a task.
 * @param unit what is counted: `events`, `records`
 */
export function showProgress(label: string, unit: string, output: Output = process.stderr): Progress {
  return output.isTTY === true ? bar(label, unit, output) : lines(label, unit, output);
}

/** Shows the progress of each part of a long task, and reports its troubles, both on stderr. */
export class ShownWatch implements Watch {
  readonly #label: string;
  readonly #shown = new Map<string, Progress>();

  /** @param work the name of the work, shown before the name of the part; by default only the part is named */
  constructor(work?: string) {
    this.#label = work === undefined ? '' : `${work}: `;
  }

  readonly onProgress: Watch['onProgress'] = (part, unit, done, total) => {
    const progress = this.#shown.get(part) ?? showProgress(`${this.#label}${part}`, unit);
    this.#shown.set(part, progress);
    progress.update(done, total);
  };

  readonly onTrouble: Watch['onTrouble'] = (message) => {
    process.stderr.write(`sheratan: ${message}\n`);
  };

  /** Ends what is shown, so that other lines can be printed; progress after that is shown again. */
  readonly stop = (): void => {
    for (const progress of this.#shown.values()) progress.stop();
    this.#shown.clear();
  };
}

/** Shows the progress of `work` in positions of a log until it ends. */
export async function withProgress<R>(
  label: string,
  work: (update: (done: bigint, total: bigint) => void) => Promise<R>,
) {
  const progress = showProgress(label, 'positions');
  try {
    return await work((done, total) => progress.update(Number(done), Number(total)));
  } finally {
    progress.stop();
  }
}

type Output = NodeJS.WritableStream & { readonly isTTY?: boolean };

function bar(label: string, unit: string, output: Output): Progress {
  const shown = new cliProgress.SingleBar({
    stream: output,
    format: `${label} {bar} {percentage}% · {value}/{total} ${unit} · {rate}/s · {eta_formatted} left`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: false,
  });
  const startedAt = performance.now();
  let started = false;
  return {
    update(done, total) {
      const rate = perSecond(done, startedAt);
      if (started) {
        shown.setTotal(total);
        shown.update(done, { rate });
      } else shown.start(total, done, { rate });
      started = true;
    },
    stop() {
      if (started) shown.stop();
    },
  };
}

function lines(label: string, unit: string, output: Output): Progress {
  const startedAt = performance.now();
  let printedAt = startedAt;
  return {
    update(done, total) {
      const now = performance.now();
      if (now - printedAt < LINE_INTERVAL_MS) return;
      printedAt = now;
      const percent = total > 0 ? Math.floor((done / total) * 100) : 100;
      output.write(`${label}: ${percent}% · ${done}/${total} ${unit} · ${perSecond(done, startedAt)}/s\n`);
    },
    stop: () => undefined,
  };
}

function perSecond(done: number, startedAt: number): number {
  return Math.round((done * 1_000) / Math.max(performance.now() - startedAt, 1));
}
