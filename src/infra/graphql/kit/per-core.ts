import type { CoreServices } from '../../services/core-services.js';

/** What there is one of for each running core, made when it is first asked for. */
export function perCore<V>(make: (services: CoreServices) => V): (services: CoreServices) => V {
  const made = new WeakMap<CoreServices, V>();
  return (services) => {
    const known = made.get(services) ?? make(services);
    made.set(services, known);
    return known;
  };
}
