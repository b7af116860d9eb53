import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The certificate that a server shows its clients, and that of the authority that they trust. */
export interface Certificate {
  /** The path of the authority's certificate. */
  readonly authorityFile: string;
  readonly certificate: Buffer;
  readonly key: Buffer;
}

const FOLDER = join(import.meta.dirname, 'tls');

/** The certificate for this machine, or one for another host. */
export function certificateFor(host: 'localhost' | 'elsewhere'): Certificate {
  return {
    authorityFile: join(FOLDER, 'authority.crt'),
    certificate: readFileSync(join(FOLDER, `${host}.crt`)),
    key: readFileSync(join(FOLDER, `${host}.key`)),
  };
}
