import _sodium from 'libsodium-wrappers';

await _sodium.ready;

/** libsodium, ready to be used. */
export const sodium = _sodium;
