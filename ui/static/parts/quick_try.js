// A small place to try an adapter, beside what it has just learned: one picture at a time, or the camera.
import { html, useEffect, useMemo, useRef, useState } from "../lib/preact.js";
import { useWords } from "../lib/i18n.js";
import { has_camera } from "../lib/camera.js";
import { is_touch } from "../lib/device.js";
import { try_adapter } from "../lib/chosen.js";
import { useOne } from "../lib/live.js";
import { speak } from "../lib/speak.js";
import { useAnswers } from "./answers/asking.js";
import { Choose, useDrop, usePaste } from "./intake.js";
import { LeftOut } from "./answers/left_out.js";
import { Live } from "./answers/live.js";
import { usePictures } from "./answers/pictures.js";
import { question_of } from "./answers/question.js";
import { Samples } from "./answers/samples.js";
import { Answer, heard } from "./answers/verdict.js";
import { Button } from "./button.js";
import { Note, Problem } from "./note.js";
import { Thumbnail } from "./picture.js";

// adapter: as GET /adapters/{id} gives it, or its id.
export function QuickTry({ adapter }) {
  const t = useWords();
  const place = useRef();
  const read = useOne(typeof adapter === "string" ? `/adapters/${adapter}` : null);
  const asked = typeof adapter === "string" ? read.value : adapter;
  const question = useMemo(() => (asked ? question_of(asked) : null), [asked?.id]);
  const held = usePictures(1);
  const [camera, setCamera] = useState(false);
  const take = (found) => {
    if (!found.length) return;
    setCamera(false);
    held.clear();
    held.add(found);
  };
  const drop = useDrop(take);
  usePaste(place, take);
  return html`<section class="quick-try ${drop.over ? "drop-over" : ""}" ref=${place} ...${drop.handlers} aria-label=${t("try.quick")}>
    ${camera
      ? html`<${Live} question=${question} name=${asked?.name} take=${take} onClose=${() => setCamera(false)} compact />`
      : html`<${One} held=${held} question=${question} name=${asked?.name} />`}
    <${Problem} error=${read.error} />
    ${!camera && html`<${Samples} adapter=${asked} take=${take} words=${t("try.quick_samples")} />`}
    <div class="row">
      <${Choose} kind="primary" take=${take} multiple=${false}>${t(held.pictures.length ? "try.another" : "try.choose_one")}<//>
      ${!camera && has_camera() && html`<${Button} onClick=${() => setCamera(true)}>${t("try.use_camera")}<//>`}
      ${asked && html`<${Button} kind="quiet" onClick=${() => try_adapter(asked)}>${t("try.more")}<//>`}
    </div>
  </section>`;
}

function One({ held, question, name }) {
  const t = useWords();
  const { of, error } = useAnswers(held.pictures, question);
  const [picture] = held.pictures;
  const { answer, fresh } = picture ? of(picture) : {};
  useEffect(() => fresh && speak(heard(t, answer)), [answer, fresh]);
  return html`<${LeftOut} names=${held.left_out} />
    ${held.over > 0 && html`<${Note}>${t("try.quick_one")}<//>`}
    ${picture
      ? html`<div class="stage stage-compact">
          <div class="stage-picture">${picture.url || picture.failed ? html`<${Thumbnail} src=${picture.url} alt=${picture.name} />` : html`<span class="unseen">${picture.name}</span>`}</div>
          <div class="stage-answer"><${Problem} error=${error} />${answer && !error && html`<${Answer} answer=${answer} waiting=${!fresh} name=${name} compact />`}
            ${!answer && !error && html`<p class="hint">${t("try.looking")}</p>`}</div></div>`
      : html`<p class="quick-invite">${t(is_touch() ? "try.quick_invite_touch" : "try.quick_invite")}</p>`}`;
}
