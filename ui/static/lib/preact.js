// Preact with its hooks and templates (vendor/README.md), by the names that the page uses.
export {
  html, render, Component, createContext,
  useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useReducer,
} from "../vendor/preact-htm.js";
