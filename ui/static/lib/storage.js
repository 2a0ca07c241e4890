// Small texts that the browser keeps: `tab` for this tab, `browser` for all. One that keeps nothing is no fault.
function kind(of) {
  const safely = (use) => {
    try {
      return use(of());
    } catch {
      return null;
    }
  };
  return {
    kept: (name) => safely((storage) => storage.getItem(name)),
    keep: (name, text) => safely((storage) => storage.setItem(name, text)),
    drop: (name) => safely((storage) => storage.removeItem(name)),
  };
}

export const tab = kind(() => sessionStorage);
export const browser = kind(() => localStorage);
