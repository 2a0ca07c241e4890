// Where the page begins: Gradio's frame calls `mount` for each part that it shows.
import { Header } from "./account/header.js";
import { Banner } from "./parts/banner.js";
import { SignIn } from "./account/sign_in.js";
import { Adapters } from "./tabs/adapters/tab.js";
import { Search } from "./tabs/search/tab.js";
import { Teach } from "./tabs/teach/tab.js";
import { Try } from "./tabs/try/tab.js";
import { Use } from "./tabs/use/tab.js";
import { lost } from "./lib/connection.js";
import { ready, useWords } from "./lib/i18n.js";
import { html, render, useEffect } from "./lib/preact.js";
import { find_visitor, session } from "./lib/session.js";
import { useStore } from "./lib/store.js";
import { keep_tabs } from "./lib/tabs.js";

const TABS = { teach: Teach, try: Try, search: Search, adapters: Adapters, use: Use };

function Top() {
  useWords();
  const { state } = useStore(session);
  useEffect(() => document.body.setAttribute("data-saft", state), [state]);
  return html`<${Header} /><${Banner} />${state === "out" && html`<${SignIn} />`}`;
}

// A tab's part is drawn anew for each visitor: nothing of one is left for the next.
function Tab({ name }) {
  useWords();
  const { state, who } = useStore(session);
  return state === "in" && html`<${TABS[name]} key=${who} />`;
}

export async function mount(name, element) {
  await ready;
  const place = element.querySelector("[data-part]") ?? element;
  render(name === "header" ? html`<${Top} />` : html`<${Tab} name=${name} />`, place);
  if (name === "header") await begin();
}

async function begin() {
  keep_tabs(); // beside what follows: who is there does not depend on it
  for (;;) {
    try {
      return await find_visitor();
    } catch (error) {
      if (error.status === 403) return session.set({ state: "out", who: null, name: null, error: error.code });
      await lost();
    }
  }
}
