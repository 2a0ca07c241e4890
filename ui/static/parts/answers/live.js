// The camera, with an answer that follows what it sees: one small frame at a time, the next when its answer is there.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { has, useWords } from "../../lib/i18n.js";
import { useCamera } from "../../lib/camera.js";
import { speak } from "../../lib/speak.js";
import { Button } from "../button.js";
import { Note, Problem } from "../note.js";
import { passes, pause } from "./asking.js";
import { answers_to, key_of } from "./question.js";
import { Answer, heard, top_of } from "./verdict.js";

const FRAME_MS = 250; // at most four a second
const FRAME_SIDE = 384;
const SPOKEN_MS = 3000;

// Asks about frames until `signal` ends it. use(answer) for each.
async function follow(camera, question, signal, use) {
  for (let rest = FRAME_MS; ; rest = FRAME_MS) {
    const began = performance.now();
    if (document.visibilityState === "visible") {
      const content = await camera.shoot(FRAME_SIDE);
      const [answer] = await answers_to(question, [{ name: content.name, content }], { signal });
      if (signal.aborted) return;
      use(answer);
      rest -= performance.now() - began;
    }
    await pause(Math.max(30, rest), signal);
    if (signal.aborted) return;
  }
}

function useLiveAnswer(camera, question) {
  const [state, setState] = useState({ answer: null, key: null, error: null });
  const key = question && key_of(question);
  const last = useRef(null);
  useEffect(() => {
    if (!camera || !question) return undefined;
    const ending = new AbortController();
    const { signal } = ending;
    const use = (answer) => setState({ answer, key, error: null });
    const run = async () => {
      await pause(last.current === null ? 0 : FRAME_MS, signal); // letters may follow
      last.current = key;
      while (!signal.aborted) {
        try {
          await follow(camera, question, signal, use);
        } catch (error) {
          if (signal.aborted) return;
          setState({ answer: null, key, error });
          if (!(await passes(error, signal))) return;
        }
      }
    };
    run();
    return () => ending.abort();
  }, [camera, key]);
  return { answer: state.answer, waiting: state.key !== key, error: state.key === key ? state.error : null };
}

// Tells those who hear the page when the camera sees something else, and not more often than one can listen.
function useSpoken(t, answer) {
  const told = useRef({ label: null, at: 0 });
  useEffect(() => {
    const label = answer && !answer.main.error ? top_of(answer.main).label : null;
    if (!label || label === told.current.label || Date.now() - told.current.at < SPOKEN_MS) return;
    told.current = { label, at: Date.now() };
    speak(heard(t, answer));
  }, [answer]);
}

// take([{path, file}]) gets the stills.
export function Live({ question, name, take, onClose, compact = false }) {
  const t = useWords();
  const video = useRef();
  const [camera, failed] = useCamera(video, onClose);
  const { answer, waiting, error } = useLiveAnswer(camera, question);
  useSpoken(t, waiting ? null : answer);
  const still = async () => {
    const file = await camera.shoot(1024);
    take([{ path: file.name, file }]);
  };
  const why = failed && (has(`try.camera.${failed.name}`) ? `try.camera.${failed.name}` : "try.camera.failed");
  return html`<div class="stage ${compact ? "stage-compact" : ""}">
    <div class="stage-picture"><video ref=${video} muted playsinline aria-label=${t("try.camera.view")} hidden=${Boolean(failed)}></video>
      ${why && html`<${Note} kind="warn">${t(why)}<//>`}
      <div class="row stage-tools">
        ${camera && html`<${Button} kind="primary" onClick=${still}>${t("try.camera.still")}<//>`}
        <${Button} onClick=${onClose}>${t("try.camera.stop")}<//></div></div>
    <div class="stage-answer">
      <${Problem} error=${error} />
      ${answer && html`<${Answer} answer=${answer} waiting=${waiting} name=${name} compact=${compact} />`}
      ${!answer && !error && !failed && html`<p class="hint">${question ? t("try.looking") : t("try.needs_labels")}</p>`}
    </div>
  </div>`;
}
