// What is loaded again and again while it is looked at.

import { useEffect, useState } from "./ui.js";

// What `load(signal)` gives: { value, error }, every `interval` milliseconds while the tab is visible. A failure leaves
// the last value, and is tried again unless the server has said that it is of no use.
export function usePolled(load, inputs, interval) {
  const [state, set] = useState({});
  useEffect(() => {
    const stop = new AbortController();
    let timer = null;
    const again = () => { timer = setTimeout(round, interval); };
    const round = async () => {
      if (document.hidden) { again(); return; }
      try {
        const value = await load(stop.signal);
        if (!stop.signal.aborted) set({ value });
      } catch (error) {
        if (stop.signal.aborted) return;
        set(old => ({ value: old.value, error }));
        if (error.status >= 400 && error.status < 500 && error.status !== 429) return;
      }
      if (!stop.signal.aborted) again();
    };
    set({});
    round();
    return () => { stop.abort(); clearTimeout(timer); };
  }, inputs);
  return state;
}
