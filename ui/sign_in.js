// Signing in and out. The key is sent once; afterwards the browser sends it as a cookie that no script can read.
//
// Each function gives the values of the components that an event of the Key tab writes to.
const saft = (() => {
  const UNREACHABLE = '<div class="saft-note saft-bad" role="alert"><p>The service does not answer. ' +
    "See whether it is still running, then try again.</p></div>";

  // The answer's members; an error's `notice` says what is wrong.
  const ask = async (method, path, given) => {
    const options = { method, headers: { "Content-Type": "application/json" } };
    if (given) options.body = JSON.stringify(given);
    try {
      return await (await fetch(`page/${path}`, options)).json();
    } catch {
      return { notice: UNREACHABLE };
    }
  };

  // Which browser tab was signed in, and whether it asked to be remembered; no key is kept here.
  const note = (remembered) => {
    sessionStorage.setItem("saft-signed-in", "yes");
    if (remembered) localStorage.setItem("saft-remembered", "yes");
    else localStorage.removeItem("saft-remembered");
  };

  const forgotten = () => {
    sessionStorage.removeItem("saft-signed-in");
    localStorage.removeItem("saft-remembered");
  };

  // A visitor who was signed in comes back to the tab that was open, before anybody can click.
  const load = async (notice) => {
    const remembered = localStorage.getItem("saft-remembered") !== null;
    if (remembered || sessionStorage.getItem("saft-signed-in"))
      document.getElementById(sessionStorage.getItem("saft-tab") || "saft-tab-images-button")?.click();
    document.addEventListener("click", (event) => {
      const tab = event.target.closest("#saft-tabs [role=tab][id^=saft-tab-]");
      if (tab) sessionStorage.setItem("saft-tab", tab.id);
    });
    const answer = await ask("GET", "session");
    if (answer.status === 401) forgotten();
    const address = location.origin + location.pathname.replace(/\/+$/, "");
    return [answer.who || "", answer.notice || notice, remembered, address];
  };

  const enter = async (key, remembered, who) => {
    const answer = await ask("POST", "session", { key, remember: remembered });
    if (answer.who) note(remembered);
    return [answer.who || who, answer.notice];
  };

  const make = async (admin_key, name, remembered, who, pasted) => {
    const answer = await ask("POST", "tenants", { admin_key, name, remember: remembered });
    if (!answer.key) return [who, answer.notice, admin_key, pasted, { __type__: "update" }];
    note(remembered);
    return [answer.who, answer.notice, "", answer.key, { __type__: "update", value: answer.key, visible: true }];
  };

  const keep = async (remembered, who, notice) => {
    if (!who) return [who, notice];
    const answer = await ask("PATCH", "session", { remember: remembered });
    if (answer.who) note(remembered);
    return [answer.who || "", answer.notice];
  };

  // The page starts afresh, so that nothing of the key's owner stays on the screen.
  const leave = async () => {
    await ask("DELETE", "session");
    forgotten();
    location.reload();
  };

  return { load, enter, make, keep, leave };
})();
