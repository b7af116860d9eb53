/** The body of an answer; undefined when it has more bytes than it may. What comes after is not waited for. */
export async function readAtMost(answer: Response, maxBytes: number): Promise<Uint8Array | undefined> {
  if (answer.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}
