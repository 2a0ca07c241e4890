// Who is signed in in this tab of the browser. The key itself is in a cookie that no script can read.
import { browser, tab } from "./storage.js";
import { store } from "./store.js";

const HERE = "saft-who"; // of this tab, in sessionStorage; of the last one used, in localStorage
const OUT = "saft-signed-out"; // somebody left in this tab, so nobody comes in by themselves

// state: "asking", "in" or "out". who: the name in addresses; tenant, name: whose key it is. `error` is why nobody is in.
export const session = store({ state: "asking", who: null, tenant: null, name: null, error: null });

export const page_url = (path) => new URL(path, document.baseURI).href;

async function ask(method, path, body) {
  const options = { method, headers: { "Content-Type": "application/json", "Saft-Page": new URL("page", document.baseURI).pathname } };
  if (body) options.body = JSON.stringify(body);
  const answer = await fetch(page_url(path), options);
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.detail), told);
  return told;
}

function enter({ who, tenant, name }) {
  tab.drop(OUT);
  tab.keep(HERE, who);
  browser.keep(HERE, who);
  session.set({ state: "in", who, tenant, name, error: null });
}

const stay_out = (error = null) => session.set({ state: "out", who: null, tenant: null, name: null, error });

// Who was signed in before; else, on one's own machine, whoever started the service. Throws when nobody answers.
export async function find_visitor() {
  if (tab.kept(OUT)) return stay_out();
  const before = tab.kept(HERE) ?? browser.kept(HERE) ?? "";
  const found = await ask("GET", `page/session?who=${encodeURIComponent(before)}`);
  if (found.who) return enter(found);
  try {
    enter(await ask("POST", "page/session", {}));
  } catch (error) {
    if (error.code !== "no_key") throw error;
    stay_out();
  }
}

export async function sign_in(key, remember) {
  enter(await ask("POST", "page/session", { key, remember }));
}

// Whether this is one's own machine, where no key is needed.
export const may_sign_in_here = async () => (await ask("GET", "page/session?own")).own === true;

// On one's own machine, after signing out there.
export async function sign_in_here() {
  enter(await ask("POST", "page/session", {}));
}

// A new tenant; gives its key, which is shown this once. The visitor is in once `enter_made` is called.
export async function make_tenant(admin_key, name, remember) {
  return ask("POST", "page/tenants", { admin_key, name, remember });
}

export const enter_made = enter;

// Ends it in all tabs of the browser.
export async function sign_out() {
  await ask("DELETE", `page/session?who=${session.get().who}`);
  browser.drop(HERE);
  leave();
}

// Makes room for somebody else in this tab alone. The page starts afresh, so that nothing of who was in stays on it.
export function leave() {
  tab.drop(HERE);
  tab.keep(OUT, "yes");
  location.reload();
}

// The key has been revoked, or the cookie has run out.
export function signed_out_elsewhere() {
  tab.drop(HERE);
  stay_out("expired");
}
