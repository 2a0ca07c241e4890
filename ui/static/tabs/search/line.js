// The search line: words, a picture, or both.
import { html, useRef, useState } from "../../lib/preact.js";
import { percent, useWords } from "../../lib/i18n.js";
import { is_picture } from "../../lib/files.js";
import { Button } from "../../parts/button.js";
import { EnglishHint } from "../../parts/english.js";
import { Field, Slider } from "../../parts/field.js";
import { Choose, useDrop, usePaste } from "../../parts/intake.js";
import { Problem } from "../../parts/note.js";
import { Thumbnail } from "../../parts/picture.js";
import { picture_of } from "./answer.js";

const MOST_CHARACTERS = 300;

export function Line({ words, onWords, before, negative, onNegative, picture, onPicture, weight, onWeight }) {
  const t = useWords();
  const place = useRef();
  const taking = usePicture(onPicture);
  const take_first = (found) => taking.take(found.map(({ file }) => file).find(is_picture));
  const { over, handlers } = useDrop(take_first);
  usePaste(place, (found) => !document.querySelector("dialog[open]") && take_first(found));
  return html`<form ref=${place} role="search" class="search-line card ${over ? "search-over" : ""}" onSubmit=${(event) => event.preventDefault()} ...${handlers}>
    <div class="search-words"><label class="heard" for="saft-search-words">${t("search.words")}</label>
      <input id="saft-search-words" type="search" enterkeyhint="search" autocomplete="off" maxlength=${MOST_CHARACTERS}
        placeholder=${t("search.example")} value=${words} onInput=${(event) => onWords(event.target.value)} />
      <${Choose} id="saft-search-picture" multiple=${false} take=${([chosen]) => taking.take(chosen?.file)} busy=${taking.busy}>${t("search.picture")}<//></div>
    <${EnglishHint} /><${Problem} error=${taking.error} />
    ${picture && html`<div class="search-by"><${Thumbnail} key=${picture.src} src=${picture.src} alt="" name="" />
      <div><p>${t("search.by_picture", { name: picture.name })}</p>${before && !words.trim()
        ? html`<${Button} onClick=${() => onWords(before)}>${t("search.with_words", { words: before })}<//>`
        : html`<p class="hint">${t("search.with_more")}</p>`}</div>
      <${Button} kind="quiet" aria-label=${t("search.without_picture")} onClick=${() => onPicture(null)}>×<//></div>`}
    ${picture && words.trim() && html`<${Slider} label=${t("search.weight")} value=${weight} step=${0.05} onInput=${onWeight}
      text=${t("search.weight_text", { words: percent(weight), picture: percent(1 - weight) })} />`}
    <details open=${Boolean(negative)}><summary>${t("search.not_like")}</summary>
      <${Field} label=${t("search.negative")} hint=${t("search.negative_hint")} value=${negative} onInput=${onNegative} maxlength=${MOST_CHARACTERS} /></details>
  </form>`;
}

// Makes a picture to search by of a file; what is chosen last counts, however long each takes.
function usePicture(onPicture) {
  const [state, setState] = useState({ busy: false, error: null });
  const turn = useRef(0);
  const take = async (file) => {
    if (!file) return;
    const mine = (turn.current += 1);
    setState({ busy: true, error: null });
    try {
      const picture = await picture_of(file);
      if (mine !== turn.current) return;
      onPicture(picture);
      setState({ busy: false, error: null });
    } catch (error) {
      if (mine === turn.current) setState({ busy: false, error });
    }
  };
  return { ...state, take };
}
