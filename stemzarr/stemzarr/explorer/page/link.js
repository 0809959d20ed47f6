// Where the state of a page is kept: after the # of its address, so that every view is a link.

/** The address of the page. */
export class AddressLink {
  read() { return location.hash.slice(1); }

  write(text) {
    this.written = text;
    history.replaceState(null, "", `#${text}`);
  }

  /** Calls `follow` with the text that a person has put into the address. */
  listen(follow) {
    addEventListener("hashchange", () => { if (this.read() !== this.written) follow(this.read()); });
  }
}
