/** How much is sent or asked for at a time, in bytes, as the simulated world draws it. */
export const transfers: { draw: (() => number) | undefined } = { draw: undefined };
