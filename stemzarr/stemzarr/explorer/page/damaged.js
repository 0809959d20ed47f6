// The one error of everything that decodes: bytes that are not what they should be.

/** Says what of some stored bytes is wrong. */
export class DamagedError extends Error {
  constructor(message) {
    super(message);
    this.name = "DamagedError";
  }
}

/** Throws unless something holds. */
export function demand(holds, message) {
  if (!holds) throw new DamagedError(message);
}
