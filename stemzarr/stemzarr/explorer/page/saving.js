// Patterns as files: the server writes them, or the command that does is copied.

import { button, fetchFile } from "./dom.js";
import { Latest } from "./latest.js";
import { exportCommand } from "./python.js";

const SUFFIXES = ["hspy", "pt"];

/** Returns buttons that save the region, or the one position, that `look` says is looked at. */
export function saveButtons(frame, transport, about, look) {
  if (!about.path) return []; // a notebook has the scan itself
  const saves = new Latest((suffix, signal) => save(frame, transport, about, look(), suffix, signal), (error) => frame.say(error.message, true));
  return SUFFIXES.map((suffix) => button(`.${suffix}`, () => saves.ask(suffix),
    about.saves ? `Save the patterns that are looked at as .${suffix}` : `Copy the command that saves these patterns as .${suffix}`));
}

async function save(frame, transport, about, { y, x, region }, suffix, signal) {
  const ends = region || [y, x, y + 1, x + 1];
  if (!(about.saves || []).includes(suffix)) {
    const command = exportCommand(about, ends, suffix);
    await frame.copy(command, `Copied: ${command}`);
    return;
  }
  frame.say(`Saving .${suffix} …`);
  const progress = (share) => frame.say(`Saving .${suffix}: ${Math.round(100 * share)} %`);
  for (const { address, name } of await transport.save(suffix, ends, signal, progress)) fetchFile(address, name);
  frame.say(`Saved ${ends[2] - ends[0]} × ${ends[3] - ends[1]} patterns as .${suffix}`);
}
