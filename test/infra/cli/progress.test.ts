import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { showProgress } from '../../../src/infra/cli/progress.js';

/** An output for progress, and what is shown on it. */
class Output extends PassThrough {
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  get text(): string {
    return String(this.read() ?? '');
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout', 'Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('progress without a terminal', () => {
  it('is a plain line every two seconds, however often it moves', () => {
    const output = new Output(false);
    const progress = showProgress('replay', 'positions', output);
    for (let done = 0; done <= 500; done += 1) {
      progress.update(done, 1_000);
      vi.advanceTimersByTime(10);
    }
    progress.stop();
    expect(output.text.split('\n')).toEqual([
      'replay: 20% · 200/1000 positions · 100/s',
      'replay: 40% · 400/1000 positions · 100/s',
      '',
    ]);
  });

  it('shows nothing for a task that takes less', () => {
    const output = new Output(false);
    const progress = showProgress('import', 'bytes', output);
    progress.update(10, 10);
    progress.stop();
    expect(output.text).toBe('');
  });

  it('shows 100% where there is nothing to do', () => {
    const output = new Output(false);
    const progress = showProgress('import', 'bytes', output);
    vi.advanceTimersByTime(3_000);
    progress.update(0, 0);
    expect(output.text).toBe('import: 100% · 0/0 bytes · 0/s\n');
  });
});

describe('progress on a terminal', () => {
  it('is a bar that is redrawn in place and then ended', () => {
    const output = new Output(true);
    const progress = showProgress('export', 'positions', output);
    progress.update(0, 50);
    vi.advanceTimersByTime(1_000);
    progress.update(50, 100);
    progress.stop();
    const { text } = output;
    expect(text).toContain('50/100 positions · 50/s');
    expect(text).toContain('█');
    expect(text).toContain('\u001B[');
    expect(text.endsWith('\n')).toBe(true);
  });

  it('shows nothing when it never began', () => {
    const output = new Output(true);
    showProgress('export', 'positions', output).stop();
    expect(output.text).toBe('');
  });
});
