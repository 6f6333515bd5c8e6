print(JSON.stringify(process.env));
finished();
