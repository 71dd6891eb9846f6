// What the page keeps in this browser. Where the browser allows no storage, it is kept until the page is closed.

const memory = new Map();

export const keep = (name, value) => write("localStorage", name, value);
/** The value that any tab of this page kept last; null if there is none. */
export const kept = (name) => read("localStorage", name);

export const keepHere = (name, value) => write("sessionStorage", name, value);
/** The value that this tab kept last; null if there is none. */
export const keptHere = (name) => read("sessionStorage", name);

// Even the name of a storage that is refused raises an error.

function write(storage, name, value) {
  memory.set(`${storage} ${name}`, value);
  try {
    window[storage].setItem(name, value);
  } catch {
    // It stays in memory.
  }
}

function read(storage, name) {
  const remembered = memory.get(`${storage} ${name}`) ?? null;
  try {
    return window[storage].getItem(name) ?? remembered;
  } catch {
    return remembered;
  }
}
