/** Answers appends in groups, as a server does whose disk takes time: a write has all that arrived during the one before. */
export class GroupCommit {
  readonly #ms: number;
  #arrived: (() => void)[] = [];
  #isWriting = false;

  /** @param ms how long a write takes, in milliseconds; 0 answers immediately */
  constructor(ms: number) {
    this.#ms = ms;
  }

  add(answer: () => void): void {
    if (this.#ms === 0) {
      answer();
      return;
    }
    this.#arrived.push(answer);
    if (!this.#isWriting) this.#write();
  }

  #write(): void {
    const written = this.#arrived;
    this.#arrived = [];
    this.#isWriting = written.length > 0;
    if (!this.#isWriting) return;
    setTimeout(() => {
      for (const answer of written) answer();
      this.#write();
    }, this.#ms);
  }
}
