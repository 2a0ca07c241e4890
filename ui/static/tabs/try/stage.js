// The picture that is looked at, large, with its answer beside it.
import { html, useEffect } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { speak } from "../../lib/speak.js";
import { Answer, heard } from "../../parts/answers/verdict.js";
import { Button } from "../../parts/button.js";
import { Problem } from "../../parts/note.js";
import { Thumbnail } from "../../parts/picture.js";

export function Stage({ picture, answers, question, name, onRemove }) {
  const t = useWords();
  const { answer, fresh } = answers.of(picture);
  useEffect(() => fresh && speak(heard(t, answer)), [picture.id, answer, fresh]);
  return html`<div class="stage" id="saft-try-stage">
    <figure class="stage-picture"><${Seen} picture=${picture} alt=${picture.name} />
      <figcaption class="row row-apart"><span class="stage-name">${picture.name}</span>
        <${Button} kind="quiet" onClick=${onRemove} aria-label=${t("try.remove", { name: picture.name })}>${t("try.remove_short")}<//></figcaption></figure>
    <div class="stage-answer">${
      answers.error && !fresh
        ? html`<${Problem} error=${answers.error} /><${Button} onClick=${answers.again}>${t("try.again")}<//>`
        : answer && (question || answer.main.error)
          ? html`<${Answer} answer=${answer} waiting=${!fresh} name=${name} />`
          : html`<p class="hint">${question ? t("try.looking") : t("try.needs_labels")}</p>`
    }</div>
  </div>`;
}

// A picture as soon as there is something to be seen of it; its name where nobody can show it.
export function Seen({ picture, alt }) {
  if (picture.url || picture.failed) return html`<${Thumbnail} src=${picture.url} alt=${alt} name=${picture.name} />`;
  return html`<span class="unseen unseen-yet" role="img" aria-label=${alt}></span>`;
}
