import type { CoreServices } from '../../services/core-services.js';

/** Makes one value for each running core, when it is first requested. */
export function perCore<V>(make: (services: CoreServices) => V): (services: CoreServices) => V {
  const made = new WeakMap<CoreServices, V>();
  return (services) => {
    const known = made.get(services) ?? make(services);
    made.set(services, known);
    return known;
  };
}
