/** Whether only this machine can reach an address. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

/** Whether a Host header names this machine by a loopback name. */
export function isLoopbackHost(host: string): boolean {
  const [, name] = /^(\[[0-9a-f:]+\]|[^:]+)(?::\d+)?$/i.exec(host) ?? [];
  return name !== undefined && isLoopback(name.replace(/^\[|\]$/g, ''));
}
