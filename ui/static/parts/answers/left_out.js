// Files that were not taken, by name, for they are no pictures.
import { html } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { Note } from "../note.js";

const NAMED = 5;

export function LeftOut({ names }) {
  const t = useWords();
  if (!names.length) return null;
  const some = names.slice(0, NAMED).join(", ") + (names.length > NAMED ? ", …" : "");
  return html`<${Note} kind="warn">${t("try.left_out", { count: names.length, names: some })}${names.some((name) => /\.zip$/i.test(name)) && ` ${t("try.left_out_zip")}`}<//>`;
}
