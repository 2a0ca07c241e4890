// Values that several parts of the page share: the parts are trees of their own, so no context reaches all of them.
import { useEffect, useState } from "./preact.js";

// A value with listeners. `set` takes a value, or a function from the old one to the new one.
export function store(initial) {
  let value = initial;
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      const made = typeof next === "function" ? next(value) : next;
      if (Object.is(made, value)) return;
      value = made;
      for (const listener of [...listeners]) listener(value);
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

// What a store holds; the component is drawn anew when that changes.
export function useStore(shared) {
  const [value, setValue] = useState(shared.get());
  useEffect(() => {
    setValue(() => shared.get()); // it may have changed between drawing and listening
    return shared.listen((next) => setValue(() => next));
  }, [shared]);
  return value;
}
