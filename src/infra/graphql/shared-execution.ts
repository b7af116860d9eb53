import type { DocumentNode, ExecutionArgs, ExecutionResult } from 'graphql';

/**
 * Executes an event once for all subscribers with the same document, variables and role. They receive the same event object:
 * the first of them executes, and the others share its result.
 */
export class SharedExecution {
  readonly #results = new WeakMap<object, Map<string, Promise<ExecutionResult>>>();
  readonly #documents = new WeakMap<DocumentNode, number>();
  #nextDocument = 0;

  /**
   * The results of the events of a source, shared with subscribers that have the same document, variables and role.
   * @param failed makes the last result, which the reader receives when the source fails
   */
  map(
    source: AsyncIterableIterator<object, undefined>,
    { document, operationName, variableValues }: ExecutionArgs,
    role: string,
    executeFor: (event: object) => Promise<ExecutionResult>,
    failed: (error: unknown) => ExecutionResult,
  ): AsyncIterableIterator<ExecutionResult> {
    const key = JSON.stringify([this.#idOf(document), operationName ?? null, variableValues ?? null, role]);
    let ended = false;
    return {
      next: async () => {
        if (ended) return { done: true, value: undefined };
        try {
          const { done, value } = await source.next();
          if (done === true) return { done: true, value: undefined };
          return { done: false, value: await this.#once(value, key, executeFor) };
        } catch (error) {
          // The source has failed: its reader receives the error as data, and then the subscription ends.
          ended = true;
          return { done: false, value: failed(error) };
        }
      },
      return: async () => {
        await source.return?.();
        return { done: true, value: undefined };
      },
      throw: async (error: unknown) => {
        await source.return?.();
        throw error;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  #once(event: object, key: string, executeFor: (event: object) => Promise<ExecutionResult>): Promise<ExecutionResult> {
    let results = this.#results.get(event);
    if (results === undefined) {
      results = new Map();
      this.#results.set(event, results);
    }
    let result = results.get(key);
    if (result === undefined) {
      result = executeFor(event);
      results.set(key, result);
    }
    return result;
  }

  #idOf(document: DocumentNode): number {
    let id = this.#documents.get(document);
    if (id === undefined) {
      id = this.#nextDocument++;
      this.#documents.set(document, id);
    }
    return id;
  }
}
