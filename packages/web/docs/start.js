// Swagger UI over the document that the edge makes from its contract.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#root",
  deepLinking: true,
  // The validator of its makers would be told of every visit.
  validatorUrl: null,
  tryItOutEnabled: true,
})
