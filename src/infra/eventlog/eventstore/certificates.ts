import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';
import { reasonOf } from '../../platform/reason.js';

/** The files that TLS connections are made with. */
export interface CertificateFiles {
  /** The certificates of the authorities that are trusted; by default those that Node trusts. */
  readonly tlsCAFile: string | undefined;
  /** The certificate that is presented to the server, and its key. */
  readonly userCertFile: string | undefined;
  readonly userKeyFile: string | undefined;
}

/** A file of certificates cannot be used. The message is a predicate (`has …`) and names the file. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs;

/** Reads the files of certificates. @throws CertificateError */
export function secureContextOf({ tlsCAFile, userCertFile, userKeyFile }: CertificateFiles): SecureContext {
  const ca = read('tlsCAFile', tlsCAFile);
  // Node would silently ignore an authority that it cannot read.
  if (ca !== undefined) assertCertificates('tlsCAFile', tlsCAFile, ca);
  const [cert, key] = [read('userCertFile', userCertFile), read('userKeyFile', userKeyFile)];
  if (cert !== undefined) assertCertificates('userCertFile', userCertFile, cert);
  try {
    return createSecureContext({ ca, cert, key });
  } catch (error) {
    throw new CertificateError(
      `has userCertFile='${userCertFile}' and userKeyFile='${userKeyFile}', which are not a certificate and its private key in PEM form (${reasonOf(error)})`,
    );
  }
}

function read(option: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CertificateError(
      isMissing
        ? `has ${option}='${file}'; the file does not exist`
        : `has ${option}='${file}', which cannot be read (${reasonOf(error)})`,
    );
  }
}

function assertCertificates(option: string, file: string | undefined, text: string): void {
  const certificates = text.match(CERTIFICATE) ?? [];
  try {
    if (certificates.length === 0) throw new Error('it has no CERTIFICATE block');
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch (error) {
    throw new CertificateError(`has ${option}='${file}', which is not a certificate in PEM form (${reasonOf(error)})`);
  }
}
